"""results.csv: one row per image, with what the monitor said of it and, where known, what was true."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from synthcp.data.nifti import Grid
from synthcp.errors import InputError
from synthcp.metrics.overlap import image_quality
from synthcp.monitor.regions import largest_region
from synthcp.records import AnomalousRegion, Assessment, Classes, Decision, Measure
from synthcp.report.maps import extent_of
from synthcp.report.planes import Planes
from synthcp.report.region_rows import FILE as REGIONS_FILE
from synthcp.report.region_rows import read_regions
from synthcp.report.table_files import read_table

FILE = "results.csv"
_TEXTS = ("id", "source", "status", "message")
_NUMBERS = ("error_share", "anomaly_share", "mean_quality", "true_error_share", "true_mean_quality")
_REGIONS = ("regions", "largest_region", "largest_region_predicted")
_SENTENCES, _SEPARATOR = ("alarms", "reasons"), " | "
_PREDICTED, _TRUE, _LOW, _HIGH = "predicted", "true", "interval_low:", "interval_high:"
_VOLUME, _WORST = "volume_mm3:", "worst_point"


@dataclass(frozen=True)
class Row:
    """One line of results.csv; a number that is undefined or unknown is NaN, an empty cell.

    Attributes:
        id: Unique within the folder; may hold "/".
        source: Where the image came from.
        status: "error" when the image could not be scored; the message says why.
        message: Why the image could not be scored.
        error_share: Expected share of wrong pixels, in [0, 1].
        anomaly_share: Share of pixels above the anomaly threshold, in [0, 1].
        mean_quality: Mean predicted IoU over the classes of the prediction, or Dice over the structures of a volume, in
            [0, 1].
        true_error_share: Share of wrong pixels among those with a class, in [0, 1].
        true_mean_quality: Mean true IoU over the classes of the ground truth, or Dice over the structures of a volume,
            in [0, 1].
        alarms: One sentence for each reason to look at the image.
        class_quality: Predicted IoU (or Dice) per class name, in [0, 1].
        true_class_quality: True IoU (or Dice) per class name, in [0, 1]; empty without ground truth.
        decision: Of the calibrated rule; empty without a calibration.
        reasons: One sentence for each reason of the decision.
        intervals: Lowest and highest true quality, per class name; empty without a calibration.
        regions: Of unknown pixels; results.csv has their number and the share and class of the largest, regions.csv all
            of them. None where they are not known: without an anomaly map, or in a folder from before there were any.
        volumes: Of each predicted structure, in mm3, per class name; empty of an image, or where the grid is not known.
        worst_point: Of a volume on a grid, where the planes of its pictures meet, in mm towards the patient's right,
            front and head, as the header of the file has them; else empty.
    """

    id: str
    source: str
    status: Literal["ok", "error"] = "ok"
    message: str = ""
    error_share: float = math.nan
    anomaly_share: float = math.nan
    mean_quality: float = math.nan
    true_error_share: float = math.nan
    true_mean_quality: float = math.nan
    alarms: tuple[str, ...] = ()
    class_quality: dict[str, float] = field(default_factory=dict)
    true_class_quality: dict[str, float] = field(default_factory=dict)
    decision: Decision = ""
    reasons: tuple[str, ...] = ()
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    regions: tuple[AnomalousRegion, ...] | None = None
    volumes: dict[str, float] = field(default_factory=dict)
    worst_point: tuple[float, ...] = ()


def row_of(
    image_id: str,
    source: str,
    assessment: Assessment,
    classes: Classes,
    anomaly_threshold: float = math.nan,
    label_map: Tensor | None = None,
    grid: Grid | None = None,
) -> Row:
    """The row of an image that was scored; with a label map (*S), also what was true, with a grid, sizes and places.

    Raises:
        InputError: The label map holds a value that is no class.
        ShapeError: The label map and the prediction differ in shape.
    """
    unknown = math.nan if math.isnan(anomaly_threshold) else assessment.anomaly_share(anomaly_threshold)
    true = {} if label_map is None else _true_class_quality(assessment, classes, label_map)
    return Row(
        id=image_id,
        source=source,
        error_share=assessment.error_share,
        anomaly_share=unknown,
        mean_quality=assessment.mean_quality,
        true_error_share=math.nan if label_map is None else _true_error_share(assessment, classes, label_map),
        true_mean_quality=_mean(true.get(name, math.nan) for name in classes.structures),
        alarms=assessment.alarms,
        class_quality=assessment.class_quality,
        true_class_quality=true,
        decision=assessment.decision,
        reasons=assessment.reasons,
        intervals=assessment.intervals,
        regions=None if assessment.anomaly_map is None else assessment.regions,
        volumes={} if grid is None else _volumes(assessment, classes, grid),
        worst_point=() if grid is None else _worst_point(assessment, grid),
    )


def columns(classes: Classes, measure: Measure, ground_truth: bool, calibrated: bool = False) -> tuple[str, ...]:
    """Header of results.csv; the columns of true quality need ground truth, those of the intervals a calibration."""
    predicted, true = _prefix(_PREDICTED, measure), _prefix(_TRUE, measure)
    prefixes = [predicted, *([_LOW, _HIGH] if calibrated else []), *([true] if ground_truth else [])]
    by_class = [prefix + name for prefix in prefixes for name in classes.names]
    by_structure = [_WORST, *(_VOLUME + name for name in classes.structures)] if measure == "Dice" else []
    return (*_TEXTS, *_NUMBERS, *_REGIONS, "alarms", "decision", "reasons", *by_class, *by_structure)


def cells(row: Row, measure: Measure) -> dict[str, str]:
    """Text of every cell that is known, by column."""
    texts = {name: str(getattr(row, name)) for name in (*_TEXTS, "decision")}
    sentences = {name: _SEPARATOR.join(getattr(row, name)) for name in _SENTENCES}
    numbers = {name: _cell(getattr(row, name)) for name in _NUMBERS}
    worst = " ".join(f"{along:.2f}" for along in row.worst_point)
    lows, highs = ({name: ends[end] for name, ends in row.intervals.items()} for end in (0, 1))
    judged = {_prefix(_PREDICTED, measure): row.class_quality, _prefix(_TRUE, measure): row.true_class_quality}
    by_class = judged | {_LOW: lows, _HIGH: highs, _VOLUME: row.volumes}
    qualities = {prefix + name: _cell(value) for prefix, part in by_class.items() for name, value in part.items()}
    return {**texts, **sentences, **numbers, **_region_cells(row), **qualities, _WORST: worst}


def _prefix(side: str, measure: Measure) -> str:
    """Of the columns of a quality, such as predicted_iou:NAME."""
    return f"{side}_{measure.lower()}:"


def _region_cells(row: Row) -> dict[str, str]:
    if row.regions is None:
        return {}
    largest = largest_region(row.regions)
    of_largest = ("", "") if largest is None else (_cell(largest.share), largest.predicted)
    return dict(zip(_REGIONS, (str(len(row.regions)), *of_largest), strict=True))


def read_rows(out: Path) -> list[Row]:
    """The rows of an output folder, in order, each with its regions.

    Raises:
        InputError: results.csv is missing, or it or regions.csv is broken; the message names the file.
    """
    found = read_regions(out)
    lines = read_table(out / FILE, lambda line: (_row(line), _number(line.get("regions", ""))))
    return [_with_regions(row, number, found.get(row.id, ()), out) for row, number in lines]


def _with_regions(row: Row, number: float, regions: tuple[AnomalousRegion, ...], out: Path) -> Row:
    if math.isnan(number):
        return row
    if len(regions) != number:
        raise InputError(
            f"{out / REGIONS_FILE} has {len(regions)} regions of {row.id}, {FILE} counts {number:g}; both must be of "
            "one run: of a run that stopped early rename both .partial files, or write the folder again"
        )
    return replace(row, regions=regions)


def _row(line: dict[str, str]) -> Row:
    if line["status"] not in ("ok", "error"):
        raise ValueError(f"status {line['status']} of {line['id']} is neither ok nor error")
    lows, highs = _by_class(line, _LOW), _by_class(line, _HIGH)
    true = _qualities(line, _TRUE)
    return Row(
        id=line["id"],
        source=line["source"],
        status="ok" if line["status"] == "ok" else "error",
        message=line["message"],
        error_share=_number(line["error_share"]),
        anomaly_share=_number(line["anomaly_share"]),
        mean_quality=_number(line["mean_quality"]),
        true_error_share=_number(line["true_error_share"]),
        true_mean_quality=_number(line["true_mean_quality"]) if "true_mean_quality" in line else _mean(true.values()),
        alarms=_sentences(line["alarms"]),
        class_quality=_qualities(line, _PREDICTED),
        true_class_quality=true,
        decision=_decision(line.get("decision", "")),
        reasons=_sentences(line.get("reasons", "")),
        intervals={name: (low, highs[name]) for name, low in lows.items()},
        volumes={name: volume for name, volume in _by_class(line, _VOLUME).items() if not math.isnan(volume)},
        worst_point=tuple(map(float, line.get(_WORST, "").split())),
    )


def _sentences(cell: str) -> tuple[str, ...]:
    return tuple(filter(None, cell.split(_SEPARATOR)))


def _decision(cell: str) -> Decision:
    if cell not in get_args(Decision):
        raise ValueError(f"decision {cell!r} is neither accept nor review")
    return cast(Decision, cell)


def _qualities(line: dict[str, str], side: str) -> dict[str, float]:
    """A quality by class, whichever its measure: a folder has one."""
    return {
        name: value for measure in get_args(Measure) for name, value in _by_class(line, _prefix(side, measure)).items()
    }


def _by_class(line: dict[str, str], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): _number(cell) for name, cell in line.items() if name.startswith(prefix)}


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _true_error_share(assessment: Assessment, classes: Classes, label_map: Tensor) -> float:
    judged = label_map != classes.ignore_index
    return (assessment.label_map != label_map)[judged].float().mean().item()


def _true_class_quality(assessment: Assessment, classes: Classes, label_map: Tensor) -> dict[str, float]:
    predicted = assessment.label_map
    qualities = image_quality(assessment.measure, label_map, predicted, len(classes), classes.ignore_index)
    return dict(zip(classes.names, qualities.tolist(), strict=True))


def _volumes(assessment: Assessment, classes: Classes, grid: Grid) -> dict[str, float]:
    """Of the predicted structures, in mm3, whatever the size at which they were judged."""
    label_map = assessment.label_map
    voxel = grid.voxel_volume * math.prod(grid.size) / label_map.numel()
    counts = torch.bincount(label_map.flatten(), minlength=len(classes)).tolist()
    return {name: voxel * counts[classes.names.index(name)] for name in classes.structures}


def _worst_point(assessment: Assessment, grid: Grid) -> tuple[float, ...]:
    return grid.position(Planes.worst(assessment.error_map, extent_of(assessment.error_map, grid)).at)


def _mean(values: Iterable[float]) -> float:
    """Of those that are known; NaN when none is."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan
