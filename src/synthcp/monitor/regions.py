"""Connected regions: the parts of a mask, and the objects that an anomaly map shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from synthcp.errors import ShapeError
from synthcp.records import AnomalousRegion, Classes

SMALLEST = 0.0005
"""Share of an image below which a region is left out as speckle: 22 x 22 pixels of a million."""
_AXES = {2: ("rows", "columns"), 3: ("x", "y", "z")}

Window = tuple[slice, ...]
Mask = NDArray[np.bool_]


def connected_parts(mask: Mask, diagonal: bool, smallest: float = 0.0) -> list[tuple[Window, Mask]]:
    """Return the connected parts of a mask of any shape (*S): the bounding box of each, and its pixels within that.

    Args:
        mask: True on the pixels to be grouped.
        diagonal: Whether pixels that touch at a corner are neighbours: 8 in a plane and 26 in a volume, not 4 and 6.
        smallest: Number of pixels below which a part is left out.
    """
    numbers, count = ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, mask.ndim if diagonal else 1))
    areas = np.bincount(numbers[mask], minlength=count + 1)
    windows = enumerate(ndimage.find_objects(numbers), start=1)
    return [(window, numbers[window] == number) for number, window in windows if areas[number] >= smallest]


def anomalous_regions(
    anomaly_map: Tensor | None, threshold: float, label_map: Tensor, classes: Classes, smallest: float = SMALLEST
) -> tuple[AnomalousRegion, ...]:
    """Return the connected regions of unknown pixels, those with the largest excess over the threshold in total first.

    Args:
        anomaly_map: Scores, shape (*S), in two or three dimensions; larger = more likely unknown. None has no regions.
        threshold: Score above which a pixel counts as unknown.
        label_map: y_hat, shape (*S), int64.
        classes: Of the label map.
        smallest: Share of the image below which a region is left out, in [0, 1].

    Raises:
        ShapeError: The maps differ in shape.
    """
    if anomaly_map is None:
        return ()
    if anomaly_map.shape != label_map.shape:
        shapes = f"{tuple(anomaly_map.shape)} and {tuple(label_map.shape)}"
        raise ShapeError(f"anomaly map and label map have the shapes {shapes}; both must be (*S); resize one of them")
    unknown = (anomaly_map > threshold).cpu().numpy()
    scores, labels = anomaly_map.float().cpu().numpy(), label_map.cpu().numpy()
    parts = connected_parts(unknown, diagonal=True, smallest=smallest * unknown.size)
    regions = [_region(window, part, scores, labels, classes) for window, part in parts]
    return tuple(sorted(regions, key=lambda region: region.area * (threshold - region.mean_score)))


def _region(
    window: Window, part: Mask, scores: NDArray[np.float64], labels: NDArray[np.int64], classes: Classes
) -> AnomalousRegion:
    within = scores[window][part].astype(np.float64)
    return AnomalousRegion(
        area=within.size,
        share=within.size / scores.size,
        mean_score=float(within.mean()),
        peak_score=float(within.max()),
        box=tuple((side.start, side.stop) for side in window),
        predicted=classes.names[int(np.bincount(labels[window][part]).argmax())],
    )


def largest_region(regions: tuple[AnomalousRegion, ...]) -> AnomalousRegion | None:
    """Return the region with the largest area; None when there is none."""
    return max(regions, key=lambda region: region.area, default=None)


def in_words(region: AnomalousRegion) -> str:
    """Return how much a region covers, where, and what M took it for; places are counted from 0, both ends included."""
    sides = zip(_AXES[len(region.box)], region.box, strict=True)
    place = ", ".join(f"{axis} {start}-{stop - 1}" for axis, (start, stop) in sides)
    return f"covers {region.share:.1%} at {place}, predicted as {region.predicted}"
