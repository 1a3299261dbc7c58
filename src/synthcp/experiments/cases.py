"""What the rows of a table said of every image, so that images can be drawn anew for intervals."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcp.errors import InputError
from synthcp.evaluation.judgement import Judged
from synthcp.metrics.bootstrap import Interval, bootstrap
from synthcp.metrics.curve import RankingCurve
from synthcp.metrics.regression import regression_scores
from synthcp.metrics.risk import risk_coverage
from synthcp.system.files import load_tensors, parse_json, save_tensors

BINS = 2048
REACH = 18.0
"""Error scores lie in [0, 1]; they are counted in bins of equal width of their log-odds, between -REACH and REACH."""

Chosen = NDArray[np.int64]
"""Indices of the images, drawn with replacement."""
Floats = NDArray[np.float64]


class Watch:
    """Notes what the rows say of one image after the other.

    Args:
        structures: The classes whose quality counts, by index.
        compared: The rows whose error maps are noted.
    """

    def __init__(self, structures: Sequence[int], compared: Collection[str]) -> None:
        self.structures = list(structures)
        self.compared = compared
        self.true: list[Tensor] = []
        self.empty: list[Tensor] = []
        self.counts: dict[str, list[Tensor]] = {}
        self.quality: dict[str, list[Tensor]] = {}

    def __call__(self, judged: Judged) -> None:
        """Note one image, if it has a label map."""
        truth = judged.truth
        if truth is None:
            return
        self.true.append(truth.quality[self.structures].double())
        self.empty.append(torch.tensor([not bool((judged.label_map == label).any()) for label in self.structures]))
        for row, detection in ((str(row), detection) for row, detection in judged.detections.items()):
            if row in self.compared and detection.error_map is not None:
                scores = detection.error_map[0].float().cpu()[truth.known]
                self.counts.setdefault(row, []).append(binned(scores, truth.error[truth.known]))
            if detection.class_quality is not None:
                quality = detection.class_quality[0].float().cpu()[self.structures]
                self.quality.setdefault(row, []).append(quality.double())

    def cases(self) -> Cases:
        """Return all that was noted."""
        counts, quality = (
            {row: torch.stack(parts).double().numpy() for row, parts in rows.items()}
            for rows in (self.counts, self.quality)
        )
        none = torch.zeros(0, len(self.structures), dtype=torch.float64)  # without label maps
        true, empty = (torch.stack(parts) if parts else none for parts in (self.true, self.empty))
        return Cases(true.numpy(), empty.bool().numpy(), counts, quality)


def binned(scores: Tensor, wrong: Tensor) -> Tensor:
    """Count the correct pixels (first) and the wrong ones in each bin of their error scores (N,); (2, BINS), int32."""
    log_odds = torch.logit(scores.double(), eps=1e-12)
    places = ((log_odds + REACH) * (BINS / (2 * REACH))).long().clamp(0, BINS - 1)
    parts = [torch.bincount(places[chosen], minlength=BINS) for chosen in (~wrong, wrong)]
    return torch.stack(parts).int()


@dataclass(frozen=True)
class Cases:
    """The images of one test, one M and one seed, N of them with K structures.

    Attributes:
        true: Quality of the structures, shape (N, K); NaN where it is undefined.
        empty: Whether the prediction lacks the structure, same shape.
        counts: By row, the correct and the wrong pixels in each bin of the error score, shape (N, 2, BINS).
        quality: By row, the predicted quality of the structures, shape (N, K).
    """

    true: Floats
    empty: NDArray[np.bool_]
    counts: dict[str, Floats] = field(default_factory=dict)
    quality: dict[str, Floats] = field(default_factory=dict)

    def with_means(self, means: Mapping[str, tuple[str, str]]) -> Cases:
        """Return them with further rows, each the mean of the qualities of two others."""
        further = {
            row: (self.quality[first] + self.quality[second]) / 2
            for row, (first, second) in means.items()
            if {first, second} <= self.quality.keys()
        }
        return replace(self, quality=self.quality | further)

    def save(self, path: Path) -> None:
        """Write them as safetensors, whole or not at all."""
        tensors = {"true": torch.from_numpy(self.true), "empty": torch.from_numpy(self.empty)}
        kinds = {"counts": self.counts, "quality": self.quality}
        for kind, rows in kinds.items():
            if rows:
                tensors[kind] = torch.from_numpy(np.stack(list(rows.values())))
        save_tensors(path, tensors, {kind: json.dumps(list(rows)) for kind, rows in kinds.items()})

    @classmethod
    def load(cls, path: Path) -> Cases:
        """Read them back.

        Raises:
            InputError: The file does not hold cases.
            WeightsError: It is missing or damaged.
        """
        tensors, names = load_tensors(path, finite=False)
        try:
            counts, quality = (
                dict(zip(parse_json(names[kind]), tensors[kind].numpy(), strict=True)) if kind in tensors else {}
                for kind in ("counts", "quality")
            )
            return cls(tensors["true"].numpy(), tensors["empty"].bool().numpy(), counts, quality)
        except (KeyError, ValueError) as error:
            raise InputError(f"{path} holds no cases of a table ({error!r}); remove it, run again") from error


CaseScore = Callable[[Cases, str, Chosen], float]
"""One score of one row on the chosen images; NaN where it is undefined."""


def error_score(score: Callable[[RankingCurve], float]) -> CaseScore:
    """Return a score of the error map, of the pixels of all images drawn (protocol "pooled"), to the width of a bin."""

    def of(cases: Cases, row: str, chosen: Chosen) -> float:
        if row not in cases.counts:
            return np.nan
        counts = cases.counts[row]
        times = np.bincount(chosen, minlength=len(counts)).astype(np.float64)
        misses, hits = (times @ counts.reshape(len(counts), -1)).reshape(2, BINS)[:, ::-1].round().astype(np.int64)
        used = hits + misses > 0
        curve = RankingCurve(hits[used], misses[used])
        return score(curve) if curve.positives and curve.negatives else np.nan

    return of


def quality_score(score: Callable[[Floats, Floats], float]) -> CaseScore:
    """Return a score of true and predicted quality of all structures, shape (images, structures) each."""

    def of(cases: Cases, row: str, chosen: Chosen) -> float:
        if row not in cases.quality:
            return np.nan
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # of a structure that no drawn image holds
            return score(cases.true[chosen], cases.quality[row][chosen])

    return of


def structure_score(score: Callable[[Floats, Floats], float], held_only: bool = False) -> CaseScore:
    """Return the mean over the structures of a score of true and predicted quality, shape (images,) each.

    Args:
        score: NaN where it is undefined, and so is the mean.
        held_only: Whether a structure counts only where the prediction holds it.
    """

    def of(cases: Cases, row: str, chosen: Chosen) -> float:
        if row not in cases.quality:
            return np.nan
        held = ~cases.empty[chosen] if held_only else np.ones(cases.empty[chosen].shape, dtype=bool)
        columns = zip(cases.true[chosen].T, cases.quality[row][chosen].T, held.T, strict=True)
        return float(np.mean([score(true[here], predicted[here]) for true, predicted, here in columns]))

    return of


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


FAILURE_SCORES: dict[str, CaseScore] = {
    "AP-Error": error_score(RankingCurve.average_precision),
    "AUROC": error_score(RankingCurve.auroc),
    "FPR95": error_score(RankingCurve.fpr95),
    "MAE": quality_score(mean_absolute_error),
    "P.C.": quality_score(mean_pearson),
}
"""Of images; those of the quality are faster than metrics.regression, for thousands of resamples."""

STRUCTURE_SCORES: dict[str, Callable[[Floats, Floats], float]] = {
    "MAE": lambda true, predicted: regression_scores(true, predicted).mae,
    "STD": lambda true, predicted: regression_scores(true, predicted).std,
    "STD, signed": lambda true, predicted: regression_scores(true, predicted).std_signed,
    "P.C.": lambda true, predicted: regression_scores(true, predicted).pearson,
    "S.C.": lambda true, predicted: regression_scores(true, predicted).spearman,
    "AURC": lambda true, predicted: risk_coverage(predicted, 1 - true).aurc,
}
"""Of true and predicted Dice of one structure, shape (cases,) each."""


def difference(seeds: Sequence[Cases], first: str, second: str, score: CaseScore, samples: int = 1000) -> Interval:
    """Return the first row's score minus the second's, mean over seeds, with a paired bootstrap interval over images.

    Args:
        seeds: That judged the same images.
        first: Row.
        second: Row.
        score: Which one.
        samples: Number of resamples.
    """

    def statistic(chosen: Chosen) -> float:
        return float(np.mean([score(seed, first, chosen) - score(seed, second, chosen) for seed in seeds]))

    return bootstrap(statistic, np.arange(len(seeds[0].true)), samples=samples)
