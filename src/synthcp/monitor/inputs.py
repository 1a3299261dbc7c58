"""What is to be scored: images or volumes, found and read as the monitor was fitted on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from synthcp.data.finding import Input, find_images, find_volumes, is_volume, without_suffix
from synthcp.data.images import read_image
from synthcp.data.nifti import Grid
from synthcp.data.volume_preparation import read_volume
from synthcp.errors import DataError, InputError
from synthcp.monitor.settings import MonitorSettings


def find_inputs(items: Sequence[Path], settings: MonitorSettings) -> list[Input]:
    """Find what a monitor can score among files and in folders, in natural order of the ids.

    Raises:
        DataError: An item does not exist, is of the other kind, or a folder holds nothing.
    """
    for path in items:
        if path.is_file():
            _require_kind(path, settings)
    find = find_volumes if settings.spatial_dims == 3 else find_images
    return find(items)


def input_of(path: Path, settings: MonitorSettings) -> Input:
    """Take one file, which is called by its path without suffix; raises DataError when it is of the other kind."""
    _require_kind(path, settings)
    name = path.as_posix()
    return Input(without_suffix(name) if is_volume(path) else name.removesuffix(path.suffix), (path,))


def read_input(item: Input, settings: MonitorSettings) -> tuple[Tensor, Grid | None]:
    """Read an image, shape (C, *S), in [0, 1], and of a volume the grid of its file.

    Raises:
        DataError: A file cannot be read, or has other channels than those the monitor was fitted on.
        InputError: The monitor was fitted on volumes that came from no files.
    """
    if settings.spatial_dims == 2:
        return read_image(item.paths[0], settings.channels), None
    if settings.preparation is None:
        raise InputError(
            "the monitor was fitted on volumes that came from no files, so nothing says how to read one; give "
            "Monitor.assess a tensor, or fit on decathlon: or nnunet: data"
        )
    return read_volume(item.paths, settings.preparation, settings.channels)


def _require_kind(path: Path, settings: MonitorSettings) -> None:
    if is_volume(path) and settings.spatial_dims == 2:
        raise DataError(f"{path} is a volume, but the monitor was fitted on flat images; give it images")
    if not is_volume(path) and settings.spatial_dims == 3:
        raise DataError(f"{path} is no volume, but the monitor was fitted on volumes; give it .nii.gz or .nii files")
