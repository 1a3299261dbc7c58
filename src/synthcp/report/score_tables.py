"""Which scores make which table, in which order, and which value of a column is the best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, TypeVar

from synthcp.evaluation import DetectorResult, Results
from synthcp.metrics.protocols import AnomalyScores
from synthcp.metrics.ranking import RankingScores
from synthcp.records import Measure

UNDEFINED = "-"
_Scores = TypeVar("_Scores")
Part = Literal["error_pooled", "error_per_image", "quality"]
QUALITY = "quality"
"""Group of the columns on predicted quality; a printed table names the measure in its place."""


@dataclass(frozen=True)
class Column:
    """One score of a table.

    Attributes:
        name: Of the score.
        group: The protocol or target, said beside the name.
        value: The score of a detector, NaN where it does not apply.
        best: Which of the values is the best one.
    """

    name: str
    group: str
    value: Callable[[DetectorResult], float]
    best: Callable[[Sequence[float]], float]


@dataclass(frozen=True)
class Cell:
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
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Each protocol or target, in order, and how many columns it has."""
        return [(group, len(list(members))) for group, members in groupby(column.group for column in self.columns)]


def _column(part: Part, score: str, best: Callable[[Sequence[float]], float], name: str) -> Column:
    group = QUALITY if part == "quality" else part.split("_", 1)[1].replace("_", " ")
    return Column(name, group, lambda result: _score(getattr(result, part), score), best)


def _error_columns(part: Part, *scores: str) -> tuple[Column, ...]:
    names = {"ap_error": "AP-Error", "ap_success": "AP-Success", "auroc": "AUROC", "fpr95": "FPR95"}
    return tuple(_column(part, score, min if score == "fpr95" else max, names[score]) for score in scores)


def anomaly_columns(protocol: str, objects: bool) -> tuple[Column, ...]:
    """The columns of one protocol of anomaly segmentation, with those of whole objects or without."""

    def pixels(score: str) -> Callable[[DetectorResult], float]:
        return lambda result: _score(result.anomaly.get(protocol), score)

    def components(score: str) -> Callable[[DetectorResult], float]:
        return lambda result: _score(getattr(result.anomaly.get(protocol), "components", None), score)

    columns = [
        Column("AUROC", protocol, pixels("auroc"), max),
        Column("AUPR", protocol, pixels("aupr"), max),
        Column("FPR95", protocol, pixels("fpr95"), min),
    ]
    names = {"siou": "sIoU", "ppv": "PPV", "f1": "F1*"} if objects else {}
    return (*columns, *(Column(name, protocol, components(score), max) for score, name in names.items()))


def _score(part: object | None, score: str) -> float:
    return math.nan if part is None else float(getattr(part, score))


_QUALITY_COLUMNS = (
    _column("quality", "mae", min, "MAE"),
    _column("quality", "std", min, "STD"),
    _column("quality", "std_signed", min, "STD signed"),
    _column("quality", "pearson", max, "Pearson"),
    _column("quality", "spearman", max, "Spearman"),
)
ERROR_COLUMNS = (
    *_error_columns("error_pooled", "ap_error", "ap_success", "auroc", "fpr95"),
    *_error_columns("error_per_image", "ap_error", "ap_success", "auroc", "fpr95"),
    *_QUALITY_COLUMNS,
)
SUMMARY_COLUMNS = (
    *_error_columns("error_pooled", "ap_error", "auroc", "fpr95"),
    *(column for column in _QUALITY_COLUMNS if column.name in ("MAE", "Pearson")),
)


def tables(results: Results) -> tuple[ScoreTable, ...]:
    """Error detection and anomaly segmentation, each if any detector was judged on it; percent."""
    made = []
    if any(result.error_pooled or result.quality for result in results.detectors):
        made.append(_table("Error detection", _error_note(results), ERROR_COLUMNS, results))
    judged = next((result.anomaly for result in results.detectors if result.anomaly), {})
    if judged:
        columns = [anomaly_columns(name, scores.components is not None) for name, scores in judged.items()]
        made.append(_table("Anomaly segmentation", _anomaly_note(judged), tuple(itertools.chain(*columns)), results))
    return tuple(made)


def summary_table(results: Results) -> ScoreTable:
    """The five scores to look at first; percent."""
    return _table("Error detection", _error_note(results), SUMMARY_COLUMNS, results)


def headline(results: Results) -> DetectorResult | None:
    """The detector that is shipped: the last one, after its rivals, that finds errors."""
    return _first(result for result in reversed(results.detectors) if result.error_pooled)


def mean_name(measure: Measure) -> str:
    """What the mean of a measure over the classes is called."""
    return "mIoU" if measure == "IoU" else f"mean {measure}"


def percent(share: float) -> str:
    """Share x 100 with one decimal."""
    return UNDEFINED if math.isnan(share) else f"{100 * share:.1f}"


def _table(title: str, note: str, columns: tuple[Column, ...], results: Results) -> ScoreTable:
    by_column = [_cells(column, results.detectors) for column in columns]
    names = [result.name for result in results.detectors]
    told = tuple(replace(column, group=results.measure) if column.group == QUALITY else column for column in columns)
    return ScoreTable(title, note, told, tuple(zip(names, zip(*by_column, strict=True), strict=True)))


def _cells(column: Column, detectors: Sequence[DetectorResult]) -> list[Cell]:
    """Cells that print like the best one are all best; when all print the same, none is."""
    values = [column.value(result) for result in detectors]
    known = [value for value in values if not math.isnan(value)]
    differ = len({percent(value) for value in known}) > 1
    best = percent(column.best(known)) if differ else None
    return [Cell(percent(value), percent(value) == best) for value in values]


def _error_note(results: Results) -> str:
    pooled = _first(result.error_pooled for result in results.detectors)
    per_image = _first(result.error_per_image for result in results.detectors)
    quality = _first(result.quality for result in results.detectors)
    facts = [f"{results.images} images", f"{mean_name(results.measure)} of M {percent(results.mean_quality)}"]
    facts += [f"prevalence (chance AP-Error) {_prevalence(pooled, per_image)}"]
    if per_image is not None:
        facts.append(f"images skipped per image: {per_image.skipped}")
    if quality is not None:
        facts.append(f"{quality.classes} classes in MAE and STD, {quality.correlated_classes} in the correlations")
    return "; ".join(facts)


def _anomaly_note(judged: Mapping[str, AnomalyScores]) -> str:
    return "; ".join(f"{name}: {_conditions(scores)}" for name, scores in judged.items())


def _conditions(scores: AnomalyScores) -> str:
    """What a number of anomaly segmentation must be read with."""
    shares = f"prevalence (chance AUPR) {percent(scores.prevalence)}, void {percent(scores.void_share)}"
    return f"{shares}, {scores.images} images" + (f", {scores.skipped} skipped" if scores.skipped else "")


def _prevalence(pooled: RankingScores | None, per_image: RankingScores | None) -> str:
    shares = [f"{percent(pooled.prevalence)} pooled"] if pooled else []
    shares += [f"{percent(per_image.prevalence)} per image"] if per_image else []
    return ", ".join(shares) or UNDEFINED


def _first(parts: Iterable[_Scores | None]) -> _Scores | None:
    return next((part for part in parts if part is not None), None)
