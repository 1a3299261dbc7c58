"""results.csv, one row per image, and regions.csv, one row per region of unknown pixels: written, and read back."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from synthcp.data.nifti import Grid
from synthcp.errors import InputError
from synthcp.metrics.overlap import image_quality
from synthcp.monitor.regions import largest_region
from synthcp.records import AnomalousRegion, Assessment, Classes, Decision, Measure
from synthcp.report.csv_files import COUNT, NUMBER, POINT, SENTENCES, SHARE, TEXT, one_of, read_table, up_to
from synthcp.report.maps import extent_of
from synthcp.report.planes import Planes

RESULTS, REGIONS = "results.csv", "regions.csv"
Status = Literal["ok", "error"]


@dataclass(frozen=True)
class ResultRow:
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
            of them. None where they are not known, without an anomaly map.
        volumes: Of each predicted structure, in mm3, per class name; empty of an image, or where the grid is not known.
        worst_point: Of a volume on a grid, where the planes of its pictures meet, in mm towards the patient's right,
            front and head, as the header of the file has them; else empty.
    """

    id: str
    source: str
    status: Status = "ok"
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
    *,
    label_map: Tensor | None = None,
    grid: Grid | None = None,
) -> ResultRow:
    """The row of an image that was scored; with a label map (*S), also what was true, with a grid, sizes and places.

    Raises:
        InputError: The label map holds a value that is no class.
        ShapeError: The label map and the prediction differ in shape.
    """
    unknown = math.nan if math.isnan(anomaly_threshold) else assessment.anomaly_share(anomaly_threshold)
    true = {} if label_map is None else _true_class_quality(assessment, classes, label_map)
    return ResultRow(
        id=image_id,
        source=source,
        error_share=assessment.error_share,
        anomaly_share=unknown,
        mean_quality=assessment.mean_quality,
        true_error_share=math.nan if label_map is None else _true_error_share(assessment, classes, label_map),
        true_mean_quality=mean(true.get(name, math.nan) for name in classes.structures),
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


def row_to_json(row: ResultRow) -> str:
    """A row with every digit of its numbers, for row_from_json."""
    return json.dumps(asdict(row))


def row_values(row: ResultRow) -> dict[str, Any]:
    """A row as JSON tells it to others: a number that is undefined or unknown is None, for NaN is not JSON."""
    values: dict[str, Any] = json.loads(row_to_json(row), parse_constant=lambda _: None)
    return values


def row_from_json(text: str) -> ResultRow:
    """The very row that row_to_json wrote."""
    values = json.loads(text)
    regions = values["regions"]
    values["intervals"] = {name: tuple(ends) for name, ends in values["intervals"].items()}
    if regions is not None:
        boxes = [tuple(map(tuple, region["box"])) for region in regions]
        values["regions"] = tuple(
            AnomalousRegion(**region | {"box": box}) for region, box in zip(regions, boxes, strict=True)
        )
    lists = {name: tuple(values[name]) for name in ("alarms", "reasons", "worst_point")}
    return ResultRow(**values | lists)


def mean(values: Iterable[float]) -> float:
    """Of those that are known; NaN when none is."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


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


COLUMNS = {
    "id": TEXT,
    "source": TEXT,
    "status": one_of(Status),
    "message": TEXT,
    "error_share": up_to(2.0),  # of variant official
    "anomaly_share": SHARE,
    "mean_quality": SHARE,
    "true_error_share": SHARE,
    "true_mean_quality": SHARE,
    "regions": COUNT,
    "largest_region": SHARE,
    "largest_region_predicted": TEXT,
    "alarms": SENTENCES,
    "decision": one_of(Decision),
    "reasons": SENTENCES,
}
"""Of every results.csv; behind them are those of each class, and those of a volume."""

REGION_COLUMNS = {"area": COUNT, "share": SHARE, "mean_score": NUMBER, "peak_score": NUMBER, "predicted": TEXT}
"""Of regions.csv, beside the image's id, the region's number in it, from 1, and its box."""

_VOLUME = "volume_mm3"
_AXES = {2: "yx", 3: "xyz"}


def columns(classes: Classes, measure: Measure, ground_truth: bool, calibrated: bool = False) -> tuple[str, ...]:
    """Header of results.csv; the columns of true quality need ground truth, those of the intervals a calibration."""
    predicted, low, high, true, volume = _by_class(ResultRow("", ""), measure)
    parts = [predicted, *([low, high] if calibrated else []), *([true] if ground_truth else [])]
    by_class = [f"{part}:{name}" for part in parts for name in classes.names]
    by_structure = [f"{volume}:{name}" for name in classes.structures]
    return (*COLUMNS, *by_class, *(["worst_point", *by_structure] if measure == "Dice" else []))


def cells(row: ResultRow, measure: Measure) -> dict[str, str]:
    """Text of every cell that is known, by column."""
    largest = largest_region(row.regions or ())
    values = vars(row) | {
        "regions": None if row.regions is None else len(row.regions),
        "largest_region": math.nan if largest is None else largest.share,
        "largest_region_predicted": "" if largest is None else largest.predicted,
    }
    known = {name: cell.write(values[name]) for name, cell in COLUMNS.items()}
    for part, numbers in _by_class(row, measure).items():
        known |= {f"{part}:{name}": NUMBER.write(number) for name, number in numbers.items()}
    return known | {"worst_point": POINT.write(row.worst_point)}


def _by_class(row: ResultRow, measure: Measure) -> dict[str, dict[str, float]]:
    """What is told of each class, by the first part of its column."""
    lows, highs = ({name: ends[end] for name, ends in row.intervals.items()} for end in (0, 1))
    return {
        f"predicted_{measure.lower()}": row.class_quality,
        "interval_low": lows,
        "interval_high": highs,
        f"true_{measure.lower()}": row.true_class_quality,
        _VOLUME: row.volumes,
    }


def region_columns(spatial_dims: int = 2) -> tuple[str, ...]:
    """Header of regions.csv; y0 and x0 are where a box begins, y1 and x1 just behind where it ends.

    In a volume x, y and z count voxels towards the patient's right, front and head.
    """
    *numbers, predicted = REGION_COLUMNS
    return ("id", "number", *numbers, *_box_columns(spatial_dims), predicted)


def region_cells(image_id: str, number: int, region: AnomalousRegion) -> dict[str, str]:
    """Text of every cell of the region that is `number`, from 1, in its image, by column."""
    known = {name: cell.write(getattr(region, name)) for name, cell in REGION_COLUMNS.items()}
    starts_and_stops = [str(place) for places in zip(*region.box, strict=True) for place in places]
    box = dict(zip(_box_columns(len(region.box)), starts_and_stops, strict=True))
    return {"id": TEXT.write(image_id), "number": str(number), **known, **box}


def _box_columns(spatial_dims: int) -> list[str]:
    return [axis + end for end, axis in product("01", _AXES[spatial_dims])]


def read_rows(out: Path) -> list[ResultRow]:
    """The rows of an output folder, in order, each with its regions.

    Raises:
        InputError: results.csv or regions.csv is missing or broken; the message names the file.
    """
    lines, found = read_table(out / RESULTS, COLUMNS, _row), read_regions(out)
    return [_with_regions(row, count, found.get(row.id, ()), out) for row, count in lines]


def read_regions(out: Path) -> dict[str, tuple[AnomalousRegion, ...]]:
    """The regions of an output folder by image, in order.

    Raises:
        InputError: regions.csv is missing or broken.
    """
    found: dict[str, tuple[AnomalousRegion, ...]] = {}
    for image_id, region in read_table(out / REGIONS, ("id", *REGION_COLUMNS), _region):
        found[image_id] = (*found.get(image_id, ()), region)
    return found


def _row(line: Mapping[str, str]) -> tuple[ResultRow, int | None]:
    """A row without its regions, and how many it has."""
    values = {name: cell.read(line[name]) for name, cell in COLUMNS.items()}
    count, *_ = (values.pop(name) for name in ("regions", "largest_region", "largest_region_predicted"))
    parts = defaultdict[str, dict[str, float]](dict)
    for column, cell in line.items():
        part, colon, name = column.partition(":")
        if colon:
            parts[part][name] = (NUMBER if part == _VOLUME else SHARE).read(cell)
    lows, highs = parts["interval_low"], parts["interval_high"]
    row = ResultRow(
        **values,
        class_quality=parts["predicted_iou"] | parts["predicted_dice"],
        true_class_quality=parts["true_iou"] | parts["true_dice"],
        intervals={name: (low, highs[name]) for name, low in lows.items()},
        volumes={name: volume for name, volume in parts[_VOLUME].items() if not math.isnan(volume)},
        worst_point=POINT.read(line.get("worst_point", "")),
    )
    return row, count


def _with_regions(row: ResultRow, count: int | None, regions: tuple[AnomalousRegion, ...], out: Path) -> ResultRow:
    if count is None:
        return row
    if len(regions) != count:
        raise InputError(
            f"{out / REGIONS} has {len(regions)} regions of {row.id}, {RESULTS} counts {count}; both must be of "
            "one run; write the folder again"
        )
    return replace(row, regions=regions)


def _region(line: Mapping[str, str]) -> tuple[str, AnomalousRegion]:
    box = tuple(
        (COUNT.read(line[f"{axis}0"]), COUNT.read(line[f"{axis}1"])) for axis in _AXES[3 if "z0" in line else 2]
    )
    if not all(start is not None and stop is not None and start < stop for start, stop in box):
        raise ValueError(f"a region has the box {box}, which does not end behind its start")
    known = {name: cell.read(line[name]) for name, cell in REGION_COLUMNS.items()}
    return TEXT.read(line["id"]), AnomalousRegion(**known, box=box)
