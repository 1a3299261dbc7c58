"""The box in which a label map is looked at: around its foreground, wherever and however large it is, or all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MARGIN = 0.1
"""Kept free on each side of the foreground, as a share of its extent (Liu et al., ICCV 2019)."""


@dataclass(frozen=True)
class Box:
    """A box in an image; it may reach beyond it.

    Attributes:
        centre: In pixels from the first corner of the image, per spatial axis; pixel i lies between i and i + 1.
        sides: In pixels, per spatial axis.
    """

    centre: tuple[float, ...]
    sides: tuple[float, ...]


def whole_box(label_map: Tensor) -> Box:
    """Return the box of all of a label map (*S), whatever its proportions."""
    return Box(tuple(side / 2 for side in label_map.shape), tuple(map(float, label_map.shape)))


def foreground_box(
    label_map: Tensor, classes: int, grid: Sequence[int], background: int = 0, margin: float = MARGIN
) -> Box:
    """Return the smallest box of the grid's proportions with the foreground and its margin, centred on it.

    Args:
        label_map: shape (*S); the foreground is every class but the background. Without any, the box holds all of it.
        classes: L; pixels of other values (the ignore index) are no foreground.
        grid: Number of pixels per axis at which the box will be seen; only its proportions matter here.
        background: Index of the class that is no foreground.
        margin: On each side, as a share of the extent of the foreground.
    """
    foreground = torch.nonzero((label_map >= 0) & (label_map < classes) & (label_map != background)).cpu()
    if len(foreground):
        first, last = foreground.amin(dim=0).tolist(), (foreground.amax(dim=0) + 1).tolist()
    else:
        first, last, margin = [0] * label_map.ndim, list(label_map.shape), 0.0
    pixel = max((end - start) / number for start, end, number in zip(first, last, grid, strict=True))
    centre = tuple((start + end) / 2 for start, end in zip(first, last, strict=True))
    return Box(centre, tuple(pixel * (1 + 2 * margin) * number for number in grid))


def crop(label_map: Tensor, box: Box, classes: int, grid: Sequence[int], outside: int = 0) -> Tensor:
    """Return what a box shows of a label map, shape (*grid), int64: the nearest pixels.

    Args:
        label_map: shape (*S); pixels of no class (the ignore index) are shown as outside.
        box: In this label map.
        classes: L.
        grid: Number of pixels per axis.
        outside: Label of what lies beyond the label map.
    """
    label_map = label_map.where((label_map >= 0) & (label_map < classes), outside)
    for axis, (centre, side, number) in enumerate(zip(box.centre, box.sides, grid, strict=True)):
        steps = (torch.arange(number, device=label_map.device) + 0.5) / number - 0.5
        index = (centre + side * steps).floor().long()
        beyond = (index < 0) | (index >= label_map.shape[axis])
        label_map = label_map.index_select(axis, index.clamp(0, label_map.shape[axis] - 1))
        label_map = label_map.index_fill(axis, torch.nonzero(beyond)[:, 0], outside)
    return label_map
