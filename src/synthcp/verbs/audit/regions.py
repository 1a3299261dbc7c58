"""Regions where M disputes the given label: what an audit judges and ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthcp.monitor.regions import Mask, Window, connected_parts

Labels = NDArray[np.int64]
_DISC = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Region:
    """Connected pixels of one given class for which M says another.

    Attributes:
        window: Its bounding box, as slices of the rows and columns.
        mask: Its pixels within the window, bool.
        given: The class that the label map gives.
        radius: Of the largest disc that fits into it, in pixels; thin regions have a small one, however long.
    """

    window: Window
    mask: Mask
    given: int
    radius: float


def disputed_regions(given: Labels, predicted: Labels, ignore_index: int) -> list[Region]:
    """Return the regions of one label map, both of shape (H, W).

    What a square of 3 x 3 pixels does not fit into is left out (a morphological opening): along the borders of classes
    labels and predictions differ by a pixel or two without anybody being wrong.
    """
    disputed = (given != predicted) & (given != ignore_index)
    regions: list[Region] = []
    for label in np.unique(given[disputed]).tolist():
        regions += _regions_of(ndimage.binary_opening(disputed & (given == label), _DISC), label)
    return regions


def _regions_of(mask: Mask, label: int) -> list[Region]:
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]  # what is beyond the border counts as outside
    parts = connected_parts(mask, diagonal=False)
    return [Region(window, part, label, float(depth[window][part].max())) for window, part in parts]
