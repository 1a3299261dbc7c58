"""What the compared rows of Table 1 said of every image, so that images can be drawn anew for intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcp.evaluation import Judged, Truth
from synthcp.metrics.bootstrap import Interval, bootstrap
from synthcp.metrics.curve import RankingCurve
from synthcp.records import Detection
from synthcp.system.files import load_tensors, save_tensors

BINS = 2048
REACH = 18.0
"""Error scores lie in [0, 1]; they are counted in bins of equal width of their log-odds, between -REACH and REACH."""

Chosen = NDArray[np.int64]
"""Indices of the images, drawn with replacement."""

ERROR_SCORES: dict[str, Callable[[RankingCurve], float]] = {
    "AP-Error": RankingCurve.average_precision,
    "AUROC": RankingCurve.auroc,
    "FPR95": RankingCurve.fpr95,
}
"""Of the pixels of all images drawn (protocol "pooled"), to the width of a bin."""
Floats = NDArray[np.float64]


def mean_absolute_error(true: Floats, predicted: Floats) -> float:
    """Return the mean over the structures of what metrics.regression calls mae, of (images, structures)."""
    return float(np.nanmean(np.nanmean(np.abs(predicted - true), axis=0)))


def mean_pearson(true: Floats, predicted: Floats) -> float:
    """Return the mean over the structures, where it is defined, of Pearson's correlation over the images."""
    known = ~np.isnan(true)
    parts = [np.where(known, part, np.nan) for part in (true, predicted)]
    centred = [part - np.nanmean(part, axis=0) for part in parts]
    together = np.nansum(centred[0] * centred[1], axis=0)
    scale = np.sqrt(np.nansum(centred[0] ** 2, axis=0) * np.nansum(centred[1] ** 2, axis=0))
    return float(np.mean((together / scale)[scale > 1e-12]))


QUALITY_SCORES: dict[str, Callable[[Floats, Floats], float]] = {"MAE": mean_absolute_error, "P.C.": mean_pearson}
"""Of the quality of the structures, true and predicted; faster than metrics.regression, for thousands of resamples."""


@dataclass
class FailureCases:
    """The images of one test, one M and one seed, as they come.

    Attributes:
        rows: The rows to be compared.
        structures: The classes whose quality counts, as indices.
        counts: By row, for each image the correct and the wrong pixels in each bin of the error score, (2, BINS).
        quality: By row, for each image the predicted quality of the structures, shape (structures,).
        true: By row, the true quality, likewise; NaN where it is undefined.
    """

    rows: Sequence[str]
    structures: Sequence[int]
    counts: dict[str, list[Tensor]] = field(default_factory=dict)
    quality: dict[str, list[Tensor]] = field(default_factory=dict)
    true: dict[str, list[Tensor]] = field(default_factory=dict)

    def __call__(self, judged: Judged) -> None:
        """Note what the compared rows say of the next image."""
        for row, detection in judged.detections.items():
            if judged.truth is not None and str(row) in self.rows:
                self.add(str(row), detection, judged.truth)

    def add(self, row: str, detection: Detection, truth: Truth) -> None:
        """Note what one row says of the next image."""
        if detection.error_map is not None:
            scores = detection.error_map[0].float().cpu()[truth.known]
            self.counts.setdefault(row, []).append(binned(scores, truth.error[truth.known]))
        if detection.class_quality is not None:
            predicted = detection.class_quality[0].float().cpu()[list(self.structures)]
            self.quality.setdefault(row, []).append(predicted)
            self.true.setdefault(row, []).append(truth.quality[list(self.structures)].float())

    def save(self, path: Path) -> None:
        """Write them as safetensors, whole or not at all."""
        kinds = {"counts": self.counts, "quality": self.quality, "true": self.true}
        save_tensors(
            path, {f"{kind}/{row}": torch.stack(parts) for kind, rows in kinds.items() for row, parts in rows.items()}
        )


def binned(scores: Tensor, wrong: Tensor) -> Tensor:
    """Count the correct pixels (first) and the wrong ones in each bin of their error scores (N,); (2, BINS), int32."""
    log_odds = torch.logit(scores.double(), eps=1e-12)
    places = ((log_odds + REACH) * (BINS / (2 * REACH))).long().clamp(0, BINS - 1)
    parts = [torch.bincount(places[chosen], minlength=BINS) for chosen in (~wrong, wrong)]
    return torch.stack(parts).int()


class FailureScores:
    """Scores of the compared rows on any choice of images, of one seed.

    Args:
        path: As FailureCases wrote it.
    """

    def __init__(self, path: Path) -> None:
        tensors, _ = load_tensors(path)
        self._parts = {name: tensor.double().numpy() for name, tensor in tensors.items()}
        self.images = max(len(part) for part in self._parts.values())

    def score(self, row: str, name: str, chosen: Chosen) -> float:
        """Return one score of one row on the chosen images; NaN where it is undefined."""
        return self._error(row, name, chosen) if name in ERROR_SCORES else self._quality(row, name, chosen)

    def has(self, row: str, name: str) -> bool:
        """Whether a row says anything that the score is about."""
        return f"{'counts' if name in ERROR_SCORES else 'quality'}/{row}" in self._parts

    def _error(self, row: str, name: str, chosen: Chosen) -> float:
        counts = self._parts[f"counts/{row}"]
        times = np.bincount(chosen, minlength=len(counts)).astype(np.float64)
        misses, hits = (times @ counts.reshape(len(counts), -1)).reshape(2, BINS)[:, ::-1].round().astype(np.int64)
        used = hits + misses > 0
        curve = RankingCurve(hits[used], misses[used])
        return ERROR_SCORES[name](curve) if curve.positives and curve.negatives else np.nan

    def _quality(self, row: str, name: str, chosen: Chosen) -> float:
        true, predicted = self._parts[f"true/{row}"][chosen], self._parts[f"quality/{row}"][chosen]
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # of a structure that no drawn image holds
            return QUALITY_SCORES[name](true, predicted)


def difference(seeds: Sequence[FailureScores], first: str, second: str, name: str, samples: int = 1000) -> Interval:
    """Return the first row's score minus the second's, mean over seeds, with a paired bootstrap interval over images.

    Args:
        seeds: That judged the same images.
        first: Row.
        second: Row.
        name: Of the score.
        samples: Number of resamples.
    """

    def statistic(chosen: Chosen) -> float:
        return float(np.mean([seed.score(first, name, chosen) - seed.score(second, name, chosen) for seed in seeds]))

    return bootstrap(statistic, np.arange(seeds[0].images), samples=samples)
