"""The layout of the Medical Segmentation Decathlon (Antonelli et al., 2022): dataset.json lists every file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcp.data.base import Dataset, Source
from synthcp.data.classes import make_classes
from synthcp.data.files import SampleFiles
from synthcp.data.finding import without_suffix
from synthcp.data.nifti import Grid, write_nifti
from synthcp.data.volume_dataset import (
    VolumeDataset,
    describes,
    read_description,
    require_cases,
    split_cases,
    volume_files,
)
from synthcp.data.volume_preparation import OPTIONS, WINDOWS, VolumePreparation
from synthcp.errors import DataError, ShapeError
from synthcp.records import Classes, Sample
from synthcp.system.files import save_json

LAYOUT = (
    "the Decathlon's layout is imagesTr/NAME.nii.gz, labelsTr/NAME.nii.gz and dataset.json with "
    '"labels": {"0": "background", ...} and "training": [{"image": FILE, "label": FILE}, ...]'
)


class Decathlon(VolumeDataset):
    """The cases that dataset.json lists; files of several channels are 4D.

    The labelled cases ("training") are split in natural order: train, val, test, all; "unlabelled" are those of "test".

    Args:
        root: Of one task, such as Task07_Pancreas.
        split: "train", "val", "test", "all" or "unlabelled".
        preparation: How values become an image.

    Raises:
        DataError: dataset.json is missing or malformed, lists a file that is missing, or there is no such split.
    """

    def __init__(self, root: Path, split: str = "train", preparation: VolumePreparation | None = None) -> None:
        unlabelled = split == "unlabelled"
        part = "test" if unlabelled else "training"
        content = read_description(root, {"labels": dict, part: list}, LAYOUT)
        cases = _cases(root, content[part], labelled=not unlabelled)
        cases = require_cases(root, split, cases) if unlabelled else split_cases(root, cases, split)
        super().__init__(_classes(root, content["labels"]), cases, preparation or VolumePreparation())


def write_decathlon(
    root: Path, labelled: Dataset, unlabelled: Dataset | None = None, affine: ArrayLike | None = None
) -> None:
    """Write volumes of one channel as a task of the Decathlon, in Hounsfield units; window=abdomen reads them back.

    Args:
        root: Of the task; dataset.json is written last.
        labelled: Its samples become "training".
        unlabelled: Its samples become "test", without their labels.
        affine: From voxel indices to the world in mm, shape (4, 4), such as `leaning` makes; without it 1 mm each.

    Raises:
        ShapeError: A sample is no volume, or has several channels.
        InputError: A file cannot be written.
    """
    affine = np.eye(4) if affine is None else np.asarray(affine)
    training, test = [], []
    for sample in labelled:
        image, label = f"./imagesTr/{sample.id}.nii.gz", f"./labelsTr/{sample.id}.nii.gz"
        _write_image(root / image, sample, affine)
        _write_labels(root / label, sample, affine)
        training.append({"image": image, "label": label})
    for sample in unlabelled or ():
        test.append(f"./imagesTs/{sample.id}.nii.gz")
        _write_image(root / test[-1], sample, affine)
    description = {
        "name": root.name,
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {str(index): name for index, name in enumerate(labelled.classes.names)},
        "numTraining": len(training),
        "numTest": len(test),
        "training": training,
        "test": test,
    }
    save_json(root / "dataset.json", description)


def leaning(spacing: Sequence[float], degrees: float = 15) -> NDArray[np.float64]:
    """Return an affine whose axes lead left, posterior and superior, as scanners write them, but lean.

    Args:
        spacing: Between voxels, in mm.
        degrees: By which they are turned about the world's first axis, and then about its third.
    """
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_first = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    about_third = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_third @ about_first @ np.diag([-1, -1, 1]) @ np.diag(spacing)
    return affine


def _write_image(path: Path, sample: Sample, affine: NDArray[Any]) -> None:
    if sample.image.ndim != 4 or len(sample.image) != 1:
        raise ShapeError(f"{sample.id} has the shape {tuple(sample.image.shape)}; volumes (1, X, Y, Z) are written")
    low, high = WINDOWS["abdomen"]
    _write(path, np.rint(low + (high - low) * sample.image[0].numpy()).astype(np.int16), affine)


def _write_labels(path: Path, sample: Sample, affine: NDArray[Any]) -> None:
    if sample.label_map is None:
        raise ShapeError(f"{sample.id} has no label map; labelled volumes need one")
    _write(path, sample.label_map.numpy(), affine)


def _write(path: Path, values: NDArray[Any], affine: NDArray[Any]) -> None:
    """Write values that lie along the axes of the affine."""
    grid = Grid.of(values.shape, affine)
    write_nifti(path, grid.to_ras(values), grid)


def _classes(root: Path, labels: Mapping[str, Any]) -> Classes:
    path = root / "dataset.json"
    if not all(key.isdecimal() and isinstance(name, str) for key, name in labels.items()):
        raise DataError(f'{path}: "labels" must give a name for each index, {{"0": "background"}}; {LAYOUT}')
    entries = [{"index": int(key), "name": name} for key, name in labels.items()]
    return make_classes(path, entries, background=0)


def _cases(root: Path, entries: Sequence[Any], labelled: bool) -> list[SampleFiles]:
    """The listed files; what macOS leaves beside them ("._name") is left out."""
    cases = [_case(root, entry, labelled) for entry in entries]
    return [case for case in cases if not case.image.name.startswith(".")]


def _case(root: Path, entry: Any, labelled: bool) -> SampleFiles:
    entry = {"image": entry} if isinstance(entry, str) else entry
    keys = ("image", "label") if labelled else ("image",)
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in keys):
        raise DataError(f"{root / 'dataset.json'}: the entry {entry!r} does not name {' and '.join(keys)}; {LAYOUT}")
    image = root / entry["image"]
    return volume_files([image], root / entry["label"] if labelled else None, without_suffix(image.name))


SOURCE = Source(
    lambda root, split, **options: Decathlon(root, split, VolumePreparation(**options)),
    OPTIONS,
    signs='dataset.json with "training"',
    recognises=lambda root: describes(root, "labels", "training"),
)
