"""Which scores make which table, in which order, and which value of a column is the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from synthcp.evaluation.results import DetectorResult, Results
from synthcp.metrics.protocols import AnomalyScores
from synthcp.records import Measure

UNDEFINED = "-"
Scores = Callable[[DetectorResult], object | None]
"""Gives one record of scores of a detector; None where it does not apply."""

NAMES = {
    "ap_error": "AP-Error",
    "ap_success": "AP-Success",
    "auroc": "AUROC",
    "aupr": "AUPR",
    "fpr95": "FPR95",
    "siou": "sIoU",
    "ppv": "PPV",
    "f1": "F1*",
    "mae": "MAE",
    "std": "STD",
    "std_signed": "STD signed",
    "pearson": "Pearson",
    "spearman": "Spearman",
}
SMALLER_IS_BETTER = {"fpr95", "mae", "std", "std_signed"}
_POOLED, _PER_IMAGE, _QUALITY = map(attrgetter, ("error_pooled", "error_per_image", "quality"))


@dataclass(frozen=True)
class ScoreColumn:
    """One score of a table.

    Attributes:
        score: One of NAMES.
        group: The protocol or target, said beside the name.
        scores: The record that holds it.
    """

    score: str
    group: str
    scores: Scores

    @property
    def name(self) -> str:
        """Of the score."""
        return NAMES[self.score]

    def value(self, result: DetectorResult) -> float:
        """The score of a detector, NaN where it does not apply."""
        scores = self.scores(result)
        return math.nan if scores is None else float(getattr(scores, self.score))


@dataclass(frozen=True)
class ScoreCell:
    """Text of a cell, and whether it is the best of several in its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class ScoreTable:
    """A table, ready to print.

    Attributes:
        title: Of the table.
        note: What to know before reading it.
        columns: Of the scores, after the column of names.
        rows: Name of the detector and one cell per column.
    """

    title: str
    note: str
    columns: tuple[ScoreColumn, ...]
    rows: tuple[tuple[str, tuple[ScoreCell, ...]], ...]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Each protocol or target, in order, and how many columns it has."""
        return [(group, len(list(members))) for group, members in groupby(column.group for column in self.columns)]


def tables(results: Results) -> tuple[ScoreTable, ...]:
    """Error detection and anomaly segmentation, each if any detector was judged on it; percent."""
    made = []
    if any(result.error_pooled or result.quality for result in results.detectors):
        ranking = ("ap_error", "ap_success", "auroc", "fpr95")
        quality = ("mae", "std", "std_signed", "pearson", "spearman")
        made.append(_error_table(results, pooled=ranking, per_image=ranking, quality=quality))
    judged = next((result.anomaly for result in results.detectors if result.anomaly), {})
    if judged:
        columns = [column for name, scores in judged.items() for column in _anomaly_columns(name, scores)]
        made.append(_table("Anomaly segmentation", _anomaly_note(judged), columns, results))
    return tuple(made)


def summary_table(results: Results) -> ScoreTable:
    """The five scores to look at first; percent."""
    return _error_table(results, pooled=("ap_error", "auroc", "fpr95"), per_image=(), quality=("mae", "pearson"))


def headline(results: Results) -> DetectorResult | None:
    """The detector that is shipped: the last one, after its rivals, that finds errors."""
    return next((result for result in reversed(results.detectors) if result.error_pooled), None)


def mean_name(measure: Measure) -> str:
    """What the mean of a measure over the classes is called."""
    return "mIoU" if measure == "IoU" else f"mean {measure}"


def mean_note(results: Results) -> str:
    """Over which classes the mean quality of M is taken; empty where over all."""
    classes, absent = len(results.segmenter_quality), results.absent
    if not absent or math.isnan(results.mean_quality):
        return ""
    return f"over {classes - len(absent)} of {classes} classes, no pixel of {', '.join(absent)}"


def percent(share: float) -> str:
    """Share x 100 with one decimal."""
    return UNDEFINED if math.isnan(share) else f"{100 * share:.1f}"


def _columns(group: str, part: Scores, scores: Sequence[str]) -> list[ScoreColumn]:
    return [ScoreColumn(score, group, part) for score in scores]


def _error_table(
    results: Results, pooled: Sequence[str], per_image: Sequence[str], quality: Sequence[str]
) -> ScoreTable:
    columns = _columns("pooled", _POOLED, pooled) + _columns("per image", _PER_IMAGE, per_image)
    columns += _columns(results.measure, _QUALITY, quality)
    return _table("Error detection", _error_note(results), columns, results)


def _anomaly_columns(protocol: str, scores: AnomalyScores) -> list[ScoreColumn]:
    """Of pixels, and of whole objects where the protocol has them."""

    def pixels(result: DetectorResult) -> AnomalyScores | None:
        return result.anomaly.get(protocol)

    def objects(result: DetectorResult) -> object | None:
        return getattr(pixels(result), "components", None)

    of_objects = () if scores.components is None else ("siou", "ppv", "f1")
    return _columns(protocol, pixels, ("auroc", "aupr", "fpr95")) + _columns(protocol, objects, of_objects)


def _table(title: str, note: str, columns: Sequence[ScoreColumn], results: Results) -> ScoreTable:
    by_column = [_cells(column, results.detectors) for column in columns]
    names = [result.name for result in results.detectors]
    return ScoreTable(title, note, tuple(columns), tuple(zip(names, zip(*by_column, strict=True), strict=True)))


def _cells(column: ScoreColumn, detectors: Sequence[DetectorResult]) -> list[ScoreCell]:
    """Cells that print like the best one are all best; when all print the same, none is."""
    values = [column.value(result) for result in detectors]
    known = [value for value in values if not math.isnan(value)]
    differ = len({percent(value) for value in known}) > 1
    best = (min if column.score in SMALLER_IS_BETTER else max)(known) if differ else math.nan
    return [ScoreCell(percent(value), differ and percent(value) == percent(best)) for value in values]


def _error_note(results: Results) -> str:
    detectors = results.detectors
    pooled, per_image, quality = (
        next(filter(None, map(part, detectors)), None) for part in (_POOLED, _PER_IMAGE, _QUALITY)
    )
    shares = [f"{percent(pooled.prevalence)} pooled"] if pooled else []
    shares += [f"{percent(per_image.prevalence)} per image"] if per_image else []
    quality_of_m = f"{mean_name(results.measure)} of M {percent(results.mean_quality)}"
    facts = [f"{results.images} images", " ".join(filter(None, (quality_of_m, mean_note(results))))]
    facts.append(f"prevalence (chance AP-Error) {', '.join(shares) or UNDEFINED}")
    if per_image:
        facts.append(f"images skipped per image: {per_image.skipped}")
    if quality:
        facts.append(f"{quality.classes} classes in MAE and STD, {quality.correlated_classes} in the correlations")
    return "; ".join(facts)


def _anomaly_note(judged: Mapping[str, AnomalyScores]) -> str:
    """What each number of anomaly segmentation must be read with."""
    facts = []
    for name, scores in judged.items():
        shares = f"prevalence (chance AUPR) {percent(scores.prevalence)}, void {percent(scores.void_share)}"
        skipped = f", {scores.skipped} skipped" if scores.skipped else ""
        facts.append(f"{name}: {shares}, {scores.images} images{skipped}")
    return "; ".join(facts)
