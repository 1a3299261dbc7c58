"""From the voxels of a file to what the networks see: intensities in [0, 1] at the working spacing."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcp.data.nifti import MAX_VOXELS, Grid, read_label_nifti, read_nifti, require_same_grid
from synthcp.data.transforms import resize, resize_labels
from synthcp.errors import DataError, InputError
from synthcp.system.spec import DECIMAL, Reader, choices

WINDOWS: dict[str, tuple[float, float]] = {
    "pancreas": (-100, 240),  # as in much work on the NIH pancreas data, for normal and diseased pancreas
    "monai": (-87, 199),  # of MONAI's pancreas networks (DiNTS, Swin UNETR)
    "nnunet": (-92, 215),  # percentiles 0.5 and 99.5 of the foreground in nnU-Net's plan of the Decathlon's pancreas
    "alarm": (-200, 400),  # of the shape-based alarm (Liu et al., ICCV 2019)
    "nih": (-125, 275),  # the wider one of the NIH pancreas work
    "abdomen": (-160, 240),  # the radiologist's soft tissue window, width 400 and level 40
}
"""Windows of CT in Hounsfield units, by name: which values become 0 and 1."""

PERCENTILES = "percentiles"
_SHARES = (0.5, 99.5)


@dataclass(frozen=True)
class VolumePreparation:
    """How the values of a file become an image; raises InputError for a spacing or a window that is none.

    Attributes:
        spacing: Working spacing in mm along right, anterior, superior; None keeps that of each file.
        window: Name of a window in `WINDOWS`; "LOW..HIGH" in the units of the file; or "percentiles": for each channel
            from the 0.5 to the 99.5 percentile of the volume itself, as MR needs, whose units mean nothing.
    """

    spacing: tuple[float, float, float] | None = None
    window: str = PERCENTILES

    def __post_init__(self) -> None:
        if self.spacing is not None and (len(self.spacing) != 3 or not all(0 < step < 1e6 for step in self.spacing)):
            raise InputError(f"spacing {self.spacing} is none; give three positive numbers, in mm")
        if self.window != PERCENTILES:
            _limits(self.window)

    def size(self, grid: Grid) -> tuple[int, ...]:
        """Return the working size S of a volume; the way back to the file is a resize to grid.size."""
        if self.spacing is None:
            return grid.size
        extents = zip(grid.size, grid.spacing, self.spacing, strict=True)
        return tuple(max(1, round(voxels * own / wanted)) for voxels, own, wanted in extents)

    def image(self, values: NDArray[Any], grid: Grid) -> Tensor:
        """Return the image, shape (C, *S), float32 in [0, 1]; a channel of one single value becomes 0.

        Args:
            values: In RAS, (X, Y, Z) or (C, X, Y, Z).
            grid: Of their file.
        """
        channels = values if values.ndim == 4 else values[None]
        return resize(self.windowed(channels), self.size(grid)).clamp(0, 1)

    def windowed(self, channels: NDArray[Any]) -> Tensor:
        """Return values in RAS, (C, X, Y, Z), brought to [0, 1] at their own size, float32."""
        return torch.from_numpy(np.stack([self._windowed(channel) for channel in channels]))

    def labels(self, values: NDArray[Any], grid: Grid) -> Tensor:
        """Return the label map, shape (*S), int64, by the nearest voxel; for the arguments see `image`."""
        return resize_labels(torch.from_numpy(values.astype(np.int64)), self.size(grid))

    def _windowed(self, channel: NDArray[Any]) -> NDArray[np.float32]:
        low, high = _spread(channel) if self.window == PERCENTILES else _limits(self.window)
        if not high > low:
            return np.zeros(channel.shape, np.float32)
        return ((channel.clip(low, high) - low) / (high - low)).astype(np.float32)


def read_volume(
    paths: Sequence[Path], preparation: VolumePreparation, channels: int | None = None
) -> tuple[Tensor, Grid]:
    """Read an image, shape (C, *S), float32 in [0, 1], and the grid of its file.

    Args:
        paths: One file, or several, each a channel of the same grid, as nnU-Net has them.
        preparation: Of the data that the monitor was fitted on.
        channels: C that the monitor was fitted on, or None when any will do.

    Raises:
        DataError: A file cannot be read, files lie on different grids, or there are other channels.
    """
    values, grids = zip(*(read_nifti(path) for path in paths), strict=True)
    for path, grid in zip(paths, grids, strict=True):
        require_same_grid(paths[0], grids[0], path, grid)
    _require_working_size(paths[0], preparation.size(grids[0]))
    image = preparation.image(np.concatenate([part.reshape(-1, *grids[0].size) for part in values]), grids[0])
    if channels is not None and channels != len(image):
        raise DataError(
            f"{paths[0]} has {len(image)} channels, the monitor was fitted on {channels}; give it the same, in one 4D "
            "file or in files that end in _0000, _0001 and so on"
        )
    return image, grids[0]


def read_volume_labels(path: Path, preparation: VolumePreparation) -> tuple[Tensor, Grid]:
    """Read a label map, shape (*S), int64, and the grid of its file; raises DataError when it cannot be read."""
    values, grid = read_label_nifti(path)
    _require_working_size(path, preparation.size(grid))
    return preparation.labels(values, grid), grid


def _require_working_size(path: Path, size: Sequence[int]) -> None:
    """Judge the voxels that a header makes by its spacing, which may be anything, before they are made."""
    if math.prod(size) > MAX_VOXELS:
        raise DataError(
            f"{path} would have {'x'.join(map(str, size))} voxels at the working spacing, more than {MAX_VOXELS}; "
            "correct the spacing in its header, or choose a wider one: ?spacing=MILLIMETRES"
        )


def _spread(channel: NDArray[Any]) -> tuple[float, float]:
    """The percentiles; of a channel that is nearly everywhere the same, the extremes."""
    low, high = (float(value) for value in np.percentile(channel, _SHARES))
    return (low, high) if high > low else (float(channel.min()), float(channel.max()))


def _limits(window: str) -> tuple[float, float]:
    number = r"[-+]?[0-9]+(?:\.[0-9]+)?"
    typed = re.fullmatch(rf"({number})\.\.({number})", window)
    if typed and float(typed[1]) < float(typed[2]):
        return float(typed[1]), float(typed[2])
    if window not in WINDOWS:
        raise InputError(
            f"window {window!r} is none; {choices(window, [*WINDOWS, PERCENTILES])}, or a range such as -160..240"
        )
    low, high = WINDOWS[window]
    return float(low), float(high)  # whole numbers beyond those of a file's type would overflow


def _spacing(text: str) -> tuple[float, ...]:
    """Of all axes alike, or of each."""
    sides = text.split("x")
    if len(sides) not in (1, 3) or not all(re.fullmatch(DECIMAL, side) for side in sides):
        raise InputError("the value must be millimetres, such as 1x1x2 or 1.5")
    return tuple(map(float, sides * (3 // len(sides))))


OPTIONS: dict[str, Reader] = {"spacing": _spacing, "window": str}
"""Of the SPECs of volumes."""
