"""Folders of images, paired with their labels by file id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from synthcp.data.base import Source
from synthcp.data.classes import infer_classes, read_classes
from synthcp.data.files import FileDataset, SampleFiles
from synthcp.data.finding import files_in, find_images, group_of
from synthcp.data.images import read_label_map
from synthcp.errors import DataError
from synthcp.records import Classes

SPLITS = ("train", "val", "test")


class Folder(FileDataset):
    """A folder with images/, labels/ (8-bit PNG of class indices), anomalies/ (PNG masks) and classes.json.

    Without classes.json the classes are read off the labels of all splits. Without labels/ the samples are unlabelled;
    without anomalies/, or a file in it, they have no anomaly mask. Files lie flat (images/NAME.jpg, labels/NAME.png),
    and then every split is the whole folder, or by split (images/train/NAME.jpg, labels/train/NAME.png). The id of a
    sample is its path in there without the suffix.

    Raises:
        DataError: A part is missing, there is no image, or an image and a label have no partner.
    """

    def __init__(self, root: Path, split: str = "train") -> None:
        part = _split_folder(root / "images", split)
        images = {image.id: image.paths[0] for image in find_images([root / "images" / part])}
        labels = _companions(root / "labels" / part, images)
        masks = _companions(root / "anomalies" / part, images)
        missing = [sample_id for sample_id in images if sample_id not in labels]
        if labels and missing:
            expected = root / "labels" / part / f"{missing[0]}.png"
            raise DataError(f"{images[missing[0]]} has no label; add {expected} or remove the image")
        super().__init__(
            _classes(root),
            [SampleFiles(key, path, labels.get(key), masks.get(key), group_of(key)) for key, path in images.items()],
        )


def _split_folder(images: Path, split: str) -> str:
    """Name of the sub-folder of a split, or "" when the layout is flat."""
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; a data set has images/ and labels/")
    if (images / split).is_dir():
        return split
    parts = [name for name in SPLITS if (images / name).is_dir()]
    if parts:
        raise DataError(f"{images} has no split {split!r}; choose one of {', '.join(parts)}")
    return ""


def _classes(root: Path) -> Classes:
    """The classes of classes.json, or of the labels when there is none."""
    labels = files_in(root / "labels")
    if (root / "classes.json").is_file() or not labels:
        return read_classes(root / "classes.json")
    values = set[int]()
    for path in labels:
        values.update(torch.unique(read_label_map(path)).tolist())
    return infer_classes(values, root / "labels")


def _companions(folder: Path, images: Mapping[str, Path]) -> dict[str, Path]:
    """The PNG files of labels/ or anomalies/ by id."""
    by_id = {path.relative_to(folder).with_suffix("").as_posix(): path for path in files_in(folder, (".png",))}
    for sample_id, path in by_id.items():
        if sample_id not in images:
            raise DataError(f"{path} has no image {sample_id!r} in images/; add the image or remove this file")
    return by_id


SOURCE = Source(Folder)
