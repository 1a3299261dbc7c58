"""regions.csv: one row per connected region of unknown pixels, those of an image in the order of their excess."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from synthcp.records import AnomalousRegion
from synthcp.report.table_files import read_table

FILE = "regions.csv"
_AXES = {2: "yx", 3: "xyz"}
_ENDS = ("0", "1")


def region_columns(spatial_dims: int = 2) -> tuple[str, ...]:
    """Header of regions.csv; y0 and x0 are where a box begins, y1 and x1 just behind where it ends.

    In a volume x, y and z count voxels towards the patient's right, front and head.
    """
    box = (axis + end for end, axis in product(_ENDS, _AXES[spatial_dims]))
    return ("id", "number", "area", "share", "mean_score", "peak_score", *box, "predicted")


def region_cells(image_id: str, number: int, region: AnomalousRegion) -> dict[str, str]:
    """Text of every cell of the region that is `number`, from 1, in its image, by column."""
    sizes = str(region.area), *(f"{value:.6g}" for value in (region.share, region.mean_score, region.peak_score))
    starts, stops = zip(*region.box, strict=True)
    texts = (image_id, str(number), *sizes, *map(str, (*starts, *stops)), region.predicted)
    return dict(zip(region_columns(len(region.box)), texts, strict=True))


def read_regions(out: Path) -> dict[str, tuple[AnomalousRegion, ...]]:
    """The regions of an output folder by image, in order; none in a folder from before there were any.

    Raises:
        InputError: regions.csv is broken.
    """
    found: dict[str, tuple[AnomalousRegion, ...]] = {}
    if (out / FILE).exists():
        for image_id, region in read_table(out / FILE, lambda line: (line["id"], _region(line))):
            found[image_id] = (*found.get(image_id, ()), region)
    return found


def _region(line: dict[str, str]) -> AnomalousRegion:
    return AnomalousRegion(
        area=int(line["area"]),
        share=float(line["share"]),
        mean_score=float(line["mean_score"]),
        peak_score=float(line["peak_score"]),
        box=tuple((int(line[f"{axis}0"]), int(line[f"{axis}1"])) for axis in _AXES[3 if "z0" in line else 2]),
        predicted=line["predicted"],
    )
