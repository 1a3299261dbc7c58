"""The maps of one image by kind: as tensors, as pictures and, of a volume, as NIfTI files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from synthcp.data.nifti import Grid, write_nifti
from synthcp.data.transforms import resize, resize_labels
from synthcp.records import Assessment, Classes
from synthcp.report.pictures import grey_picture, heat_picture, image_picture, label_picture, mask_picture
from synthcp.report.planes import Planes
from synthcp.system.files import writing

Maps = Mapping[str, Tensor]
MapFiles = Literal["png", "npz", "none"]
"""How maps are written: as pictures (of volumes also as NIfTI files), as arrays, or not at all."""
_LABELS = ("prediction", "truth")


def maps_of(
    image: Tensor, assessment: Assessment, label_map: Tensor | None = None, anomaly_mask: Tensor | None = None
) -> Maps:
    """The maps of one image (C, *S) that are known, by kind; the ground truth (*S) as far as it is."""
    maps = {
        "image": image,
        "prediction": assessment.label_map,
        "synthesis": assessment.synthesis,
        "error": assessment.error_map,
        "anomaly": assessment.anomaly_map,
        "truth": label_map,
        "unknown": anomaly_mask,
    }
    return {kind: values for kind, values in maps.items() if values is not None}


def flat_maps(maps: Maps, classes: Classes, grid: Grid | None) -> Maps:
    """The maps of a volume in three planes through its worst voxel; without a grid its voxels are cubes."""
    around = classes.ignore_index if classes.background is None else classes.background
    planes = Planes.worst(maps["error"], extent_of(maps["error"], grid))
    return {kind: planes.of(values, around if kind in _LABELS else 0.0) for kind, values in maps.items()}


def extent_of(error_map: Tensor, grid: Grid | None) -> tuple[float, ...]:
    """Of a volume, along its axes, in mm; without a grid in voxels."""
    if grid is None:
        return tuple(map(float, error_map.shape))
    return tuple(voxels * spacing for voxels, spacing in zip(grid.size, grid.spacing, strict=True))


def pictures_of(maps: Maps, classes: Classes, anomaly_range: float) -> dict[str, Image.Image]:
    """The pictures of flat maps, by kind; error and anomaly map are there for the eye and, in 16 bits, for numbers.

    Raises:
        ShapeError: A map is not flat.
    """
    pictures = {kind: image_picture(maps[kind]) for kind in ("image", "synthesis") if kind in maps}
    pictures |= {kind: label_picture(maps[kind], classes) for kind in _LABELS if kind in maps}
    shares = {"error": maps["error"]}
    if "anomaly" in maps:
        shares["anomaly"] = maps["anomaly"] / anomaly_range
    for kind, share in shares.items():
        pictures |= {kind: heat_picture(share), f"{kind}_16bit": grey_picture(share)}
    if "unknown" in maps:
        pictures["unknown"] = mask_picture(maps["unknown"])
    return pictures


def write_volumes(folder: Path, name: str, maps: Maps, grid: Grid) -> None:
    """Write NAME_KIND.nii.gz for every map but the image, on the grid of the file that came in.

    Labels and masks are uint8, as far as they fit, all else float32. Of an image of several channels each has its own
    file, NAME_synthesis_0000.nii.gz and so on, as nnU-Net names the channels of an image.

    Raises:
        InputError: The folder cannot be written.
    """
    for kind, values in maps.items():
        if kind == "image":
            continue
        channels = _on_grid(values if values.dim() == 4 else values[None], grid)
        numbers = [f"_{number:04d}" for number in range(len(channels))] if len(channels) > 1 else [""]
        for number, channel in zip(numbers, channels, strict=True):
            write_nifti(folder / f"{name}_{kind}{number}.nii.gz", channel.numpy(), grid)


def write_arrays(path: Path, maps: Maps) -> None:
    """Write every map but the image into one NPZ file, by its kind: labels uint8 if they fit, all else as it is.

    Nothing is compressed, so that programs read it as fast as it is written.

    Raises:
        InputError: The file cannot be written.
    """
    arrays = {kind: values.cpu() for kind, values in maps.items() if kind != "image"}
    for kind in _LABELS:
        if kind in arrays and 0 <= int(arrays[kind].min()) and int(arrays[kind].max()) <= 255:
            arrays[kind] = arrays[kind].to(torch.uint8)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, allow_pickle=False, **{kind: values.numpy() for kind, values in arrays.items()})


def _on_grid(values: Tensor, grid: Grid) -> Tensor:
    """Values (C, *S) at the size of the file; of labels the nearest."""
    if tuple(values.shape[1:]) == grid.size:
        on_grid = values
    else:
        on_grid = resize(values, grid.size) if values.is_floating_point() else resize_labels(values, grid.size)
    return on_grid.to(torch.uint8) if on_grid.dtype == torch.bool else on_grid
