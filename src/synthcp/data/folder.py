"""Folders of images, paired with their labels by file id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from synthcp.data.base import Source
from synthcp.data.classes import infer_classes, read_classes
from synthcp.data.files import FileDataset, SampleFiles, holds
from synthcp.data.finding import files_in, find_images, group_of
from synthcp.data.images import read_label_map
from synthcp.data.labels import LabelValues, stored_values
from synthcp.errors import DataError
from synthcp.records import Classes

LOSSY_SUFFIXES = (".jpg", ".jpeg")
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
        classes, stored = _classes(root)
        files = [SampleFiles(key, path, labels.get(key), masks.get(key), group_of(key)) for key, path in images.items()]
        super().__init__(classes, files, stored=stored)


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


def _classes(root: Path) -> tuple[Classes, LabelValues | None]:
    """The classes of classes.json, or of the labels when there is none; and what the values of label files mean."""
    path, labels = root / "classes.json", files_in(root / "labels")
    if path.is_file() or not labels:
        classes = read_classes(path)
        return classes, stored_values(path, classes)
    values = set[int]()
    for path in labels:
        values.update(torch.unique(read_label_map(path)).tolist())
    return infer_classes(values, root / "labels"), None


def _companions(folder: Path, images: Mapping[str, Path]) -> dict[str, Path]:
    """The PNG files of labels/ or anomalies/ by id; any other picture there is told of, or its image would lack it."""
    by_id: dict[str, Path] = {}
    for path in files_in(folder):
        if path.suffix.lower() != ".png":
            raise DataError(f"{path} is no PNG; labels and masks are; {_remedy(path)}")
        sample_id = path.relative_to(folder).with_suffix("").as_posix()
        if sample_id not in images:
            raise DataError(f"{path} has no image {sample_id!r} in images/; add the image or remove this file")
        if sample_id in by_id:
            raise DataError(f"{by_id[sample_id]} and {path} could both be of {images[sample_id]}; keep one")
        by_id[sample_id] = path
    return by_id


def _remedy(path: Path) -> str:
    if path.suffix.lower() in LOSSY_SUFFIXES:
        return "JPEG changes values, so write them again from where they were made, not from this file"
    return f'convert it: PIL.Image.open("{path.name}").save("{path.stem}.png")'


def _recognises(root: Path) -> bool:
    """Its parts, and no others that say what they are."""
    plain = not any((root / part).is_dir() for part in ("splits", "labels_masks"))
    return plain and holds(root, "images") and (holds(root, "labels") or holds(root, "classes.json"))


SOURCE = Source(Folder, signs="images/ with labels/ or classes.json", recognises=_recognises)
