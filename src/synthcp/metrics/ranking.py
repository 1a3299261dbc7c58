"""Does a score rank the positive pixels (wrong, or unknown) above the others? AUROC, average precision, FPR95.

Two protocols. "Pooled": all pixels of all images are ranked together (`ranking_scores`, `StreamingRanking`).
"Per image": every image is ranked alone and the scores are averaged over the images (`PerImageRanking`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcp.errors import InputError, ShapeError
from synthcp.metrics.curve import RankingCurve
from synthcp.metrics.histogram import ScoreHistogram, common_counts, ordered_keys, scores_of_keys

Floats = NDArray[np.floating]
_CHUNK = 1 << 18


@dataclass(frozen=True)
class RankingScores:
    """How well a score ranks positive pixels first; all scores in [0, 1], NaN without positives or negatives.

    Attributes:
        auroc: Chance that a positive pixel scores above a negative one, equal scores counting half.
        ap_error: Average precision (step form) at finding the positive pixels by high scores.
        ap_success: Average precision (step form) at finding the negative (correct) pixels by low scores.
        fpr95: False positive rate at the highest threshold whose true positive rate is at least 0.95.
        prevalence: Share of positive pixels, the `ap_error` of a constant score; NaN only without pixels.
        pixels: Number of pixels ranked.
        images: Number of images these pixels come from; pooled, the number of updates.
        skipped: Per image, the number of images left out for having no positive or no negative pixel; pooled, 0.
        fpr95_nearest: False positive rate at the threshold whose true positive rate is nearest to 0.95, above it or
            below: the rule of CAOS and of the published release (`RankingCurve.fpr95_nearest`).
    """

    auroc: float
    ap_error: float
    ap_success: float
    fpr95: float
    prevalence: float
    pixels: int
    images: int
    skipped: int
    fpr95_nearest: float = math.nan


def ranking_scores(scores: Tensor | Floats, positives: Tensor | NDArray[np.bool_]) -> RankingScores:
    """Exact scores of one ranking; both arguments have the same shape, infinite scores are allowed.

    Raises:
        InputError: A score is NaN, the scores are not floats or the positives are not bool.
        ShapeError: The shapes differ.
    """
    values, truths = _as_arrays(scores, positives)
    positive = np.count_nonzero(truths)
    if positive in (0, len(truths)):  # nothing to rank
        return _scores_of_counts(np.array([positive]), np.array([len(truths) - positive]), images=1)
    values, truths = _sorted_down(values, truths)
    starts = np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)
    hits = np.add.reduceat(truths, starts, dtype=np.int64)
    return _scores_of_counts(hits, np.diff(starts, append=len(values)) - hits, images=1)


class StreamingRanking:
    """Pooled scores in bounded memory, whatever the number of pixels and the range of their scores.

    Scores are ranked at float32 precision, by `ScoreHistogram`: exactly while positives and negatives have no more than
    MAX_BINS distinct scores each; beyond, pixels that share a bin count as ties. That is within 1e-4 of exact unless
    the scores crowd a narrow range and also fill the rest of the float range. Any order of merging gives equal results.
    """

    def __init__(self) -> None:
        self._positives = ScoreHistogram()
        self._negatives = ScoreHistogram()
        self._images = 0

    def update(self, scores: Tensor | Floats, positives: Tensor | NDArray[np.bool_]) -> None:
        """Rank the pixels of one more image; arguments and errors as in `ranking_scores`."""
        values, truths = _as_arrays(scores, positives)
        for start in range(0, len(values), _CHUNK):
            chunk, truth = values[start : start + _CHUNK], truths[start : start + _CHUNK]
            with np.errstate(over="ignore"):  # beyond the range of float32 is infinite, at the right end
                chunk = chunk.astype(np.float32, copy=False)
            self._positives.add(chunk[truth])
            self._negatives.add(chunk[~truth])
        self._images += 1

    def merge(self, other: StreamingRanking) -> None:
        """Rank all the pixels that another one has seen."""
        self._positives.merge(other._positives)
        self._negatives.merge(other._negatives)
        self._images += other._images

    def __add__(self, other: StreamingRanking) -> StreamingRanking:
        total = StreamingRanking()
        total.merge(self)
        total.merge(other)
        return total

    def compute(self) -> RankingScores:
        """Scores of all pixels so far."""
        _, hits, misses = common_counts(self._positives.bins(), self._negatives.bins())
        return _scores_of_counts(hits[::-1], misses[::-1], self._images)

    def best_f1_threshold(self) -> float:
        """The highest t with the best F1 when the pixels with a score of at least t are predicted positive.

        NaN without positives. The threshold is a float32: compare it with scores of that precision.
        """
        keys, hits, misses = common_counts(self._positives.bins(), self._negatives.bins())
        if not hits.any():
            return math.nan
        best = RankingCurve(hits[::-1], misses[::-1]).best_f1()
        return float(scores_of_keys(keys[::-1][best : best + 1])[0])


class PerImageRanking:
    """Mean over images of the exact scores of each; images without a positive or a negative are skipped and counted.

    Attributes:
        scores: Scores of every image that was not skipped, in order of arrival.
        skipped: Number of images skipped.
    """

    def __init__(self) -> None:
        self.scores: list[RankingScores] = []
        self.skipped = 0

    def update(self, scores: Tensor | Floats, positives: Tensor | NDArray[np.bool_]) -> None:
        """Rank the pixels of one more image; arguments and errors as in `ranking_scores`."""
        image = ranking_scores(scores, positives)
        if math.isnan(image.auroc):
            self.skipped += 1
        else:
            self.scores.append(image)

    def merge(self, other: PerImageRanking) -> None:
        """Take in all the images that another one has seen."""
        self.scores.extend(other.scores)
        self.skipped += other.skipped

    def __add__(self, other: PerImageRanking) -> PerImageRanking:
        total = PerImageRanking()
        total.merge(self)
        total.merge(other)
        return total

    def compute(self) -> RankingScores:
        """Means over the images that were not skipped, NaN when there are none; `pixels` is their sum."""
        return RankingScores(
            auroc=_mean([image.auroc for image in self.scores]),
            ap_error=_mean([image.ap_error for image in self.scores]),
            ap_success=_mean([image.ap_success for image in self.scores]),
            fpr95=_mean([image.fpr95 for image in self.scores]),
            prevalence=_mean([image.prevalence for image in self.scores]),
            pixels=sum(image.pixels for image in self.scores),
            images=len(self.scores),
            skipped=self.skipped,
            fpr95_nearest=_mean([image.fpr95_nearest for image in self.scores]),
        )


def _sorted_down(values: Floats, truths: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values, or integers in their order, and truths from the highest value down, shape (N,) each."""
    if values.dtype.itemsize > 4:
        order = np.argsort(values)[::-1]
        return values[order], truths[order]
    # To sort pairs as single integers is faster than to sort indices.
    pairs = ordered_keys(values.astype(np.float32, copy=False)).astype(np.uint64)
    pairs <<= np.uint64(1)
    pairs |= truths.view(np.uint8)
    pairs.sort()
    pairs = pairs[::-1]
    return pairs >> np.uint64(1), (pairs & np.uint64(1)).astype(np.bool_)


def _as_arrays(scores: Tensor | Floats, positives: Tensor | NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Flat, checked arrays, shape (N,) each."""
    values, truths = as_array(scores), as_array(positives)
    if values.shape != truths.shape:
        raise ShapeError(
            f"scores {values.shape} and positives {truths.shape} differ in shape; give one score per pixel"
        )
    if truths.dtype != np.bool_:
        raise InputError(
            f"positives are {truths.dtype}, not bool; compare the labels first, as in label_map != prediction"
        )
    if not np.issubdtype(values.dtype, np.floating):
        raise InputError(f"scores are {values.dtype}, not floats; convert them first")
    if np.isnan(values).any():
        raise InputError(f"{np.isnan(values).sum()} scores are NaN and have no rank; leave those pixels out of both")
    return values.reshape(-1), truths.reshape(-1)


def as_array(values: Tensor | NDArray[Any]) -> NDArray[Any]:
    """The same values as an array; bfloat16, which numpy lacks, as float32."""
    if not isinstance(values, Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    return np.asarray(values.float() if values.dtype == torch.bfloat16 else values)


def _scores_of_counts(hits: NDArray[np.int64], misses: NDArray[np.int64], images: int) -> RankingScores:
    """Scores from the positives and the negatives at each threshold, from the highest down, shape (thresholds,)."""
    curve = RankingCurve(hits, misses)
    pixels = curve.positives + curve.negatives
    defined = curve.positives > 0 and curve.negatives > 0
    return RankingScores(
        auroc=curve.auroc() if defined else math.nan,
        ap_error=curve.average_precision() if defined else math.nan,
        ap_success=curve.reversed().average_precision() if defined else math.nan,
        fpr95=curve.fpr95() if defined else math.nan,
        prevalence=curve.positives / pixels if pixels else math.nan,
        pixels=pixels,
        images=images,
        skipped=0,
        fpr95_nearest=curve.fpr95_nearest() if defined else math.nan,
    )


def _mean(values: list[float]) -> float:
    """Mean, NaN of nothing; the sum is correctly rounded, so order does not matter."""
    return math.fsum(values) / len(values) if values else math.nan
