"""Folders of images: finding them, and pairing them with their labels by file id."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from synthcp.data.base import Dataset, Source
from synthcp.data.classes import infer_classes, read_classes
from synthcp.data.images import read_image, read_label_map, read_mask
from synthcp.errors import DataError
from synthcp.records import Classes, Sample

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class ImageFile:
    """An image to be scored; the id is unique among those found together and is a valid relative path."""

    id: str
    path: Path


@dataclass(frozen=True)
class SampleFiles:
    """The files of one sample; a part that does not exist is None."""

    id: str
    image: Path
    label_map: Path | None = None
    anomaly_mask: Path | None = None
    group: str = ""


@dataclass(frozen=True)
class Truth:
    """What the label files of an image say of it, as in `Sample`; a part that they do not say is None."""

    label_map: Tensor | None = None
    anomaly_mask: Tensor | None = None
    roi: Tensor | None = None


class FileDataset(Dataset):
    """Samples that are read from files, in natural order of their ids."""

    def __init__(self, classes: Classes, files: Iterable[SampleFiles]) -> None:
        self.classes = classes
        self.files = sorted(files, key=lambda sample: natural_key(sample.id))
        self.ids = [sample.id for sample in self.files]

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; raises DataError, naming the file, when it cannot be read or its mask has another size."""
        files = self.files[index]
        image, truth = self.image(files), self.truth(files)
        _check_size(files, image, truth.anomaly_mask)
        return Sample(files.id, image, truth.label_map, truth.anomaly_mask, files.group, truth.roi)

    @property
    def groups(self) -> list[str]:
        """The group of every sample, in order."""
        return [sample.group for sample in self.files]

    def label_map(self, index: int) -> Tensor | None:
        """Read the label map of one sample."""
        return self.truth(self.files[index]).label_map

    def image(self, files: SampleFiles) -> Tensor:
        """Read the image of one sample, shape (C, H, W)."""
        return read_image(files.image)

    def truth(self, files: SampleFiles) -> Truth:
        """Read what is known about one sample."""
        return Truth(
            read_label_map(files.label_map) if files.label_map else None,
            read_mask(files.anomaly_mask) if files.anomaly_mask else None,
        )


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
        images = {image.id: image.path for image in find_images([root / "images" / part])}
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


def find_images(inputs: Sequence[Path]) -> list[ImageFile]:
    """Find the images among files (taken whatever their suffix) and in folders (by suffix, sub-folders too).

    Hidden files are left out, a file given twice counts once, and the order is the natural one of the ids. An id is
    the path inside the given folder without suffix; where two files would share it, it keeps the suffix, and if that
    does not help, the path from the folder that all inputs have in common.

    Raises:
        DataError: An input does not exist, or a folder holds no image.
    """
    names, paths = named_files(inputs, _expand)
    ids = unique_ids({path: [name.with_suffix("").as_posix(), name.as_posix()] for path, name in names.items()})
    return sorted((ImageFile(ids[key], paths[key]) for key in paths), key=lambda image: natural_key(image.id))


def named_files(
    inputs: Sequence[Path], expand: Callable[[Path], Sequence[Path]]
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the files that inputs stand for, each once.

    Args:
        inputs: Files and folders.
        expand: The files of one input.

    Returns:
        By absolute path: the path inside the input, and the path as it was given.
    """
    names: dict[str, Path] = {}
    paths: dict[str, Path] = {}
    for item in inputs:
        for path in expand(item):
            absolute = os.path.abspath(path)
            names.setdefault(absolute, path.relative_to(item) if path != item else Path(path.name))
            paths.setdefault(absolute, path)
    return names, paths


def unique_ids(names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return an id for each file: the first of its names that no other file could take.

    Args:
        names: Of each file, by its absolute path, the shortest first; its path from the folder that all have in common
            is the last resort.
    """
    common = os.path.commonpath([os.path.dirname(path) for path in names])
    options = {path: [*own, Path(path).relative_to(common).as_posix()] for path, own in names.items()}
    takers = Counter(option for choice in options.values() for option in set(choice))
    # The last name is unique among last names, and nobody settles for an earlier one that has two takers.
    return {
        path: next((option for option in choice if takers[option] == 1), choice[-1]) for path, choice in options.items()
    }


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Sort key with numbers by value: frame2 before frame10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)], text


def group_of(sample_id: str) -> str:
    """Group of a sample: the id before a last "_" or "-" and digits, or else the parent folder ("" at the top).

    "0016E5_00390" -> "0016E5", "Oslo/drive-2_017" -> "Oslo/drive-2", "Oslo/night" -> "Oslo".
    """
    numbered = re.fullmatch(r"(.*[^/])[_-]\d+", sample_id)
    return numbered.group(1) if numbered else sample_id.rpartition("/")[0]


def require_split(root: Path, split: str, known: Iterable[str]) -> None:
    """Raise DataError when a split is none of those that a data set has."""
    if split not in known:
        raise DataError(f"{root} has no split {split!r}; choose one of {', '.join(known)}: add ?split=NAME to the SPEC")


def images_directly_in(folder: Path) -> list[Path]:
    """The images of a folder, without those of its sub-folders; none when there is no such folder."""
    return [path for path in _images_in(folder) if path.parent == folder]


def _check_size(files: SampleFiles, image: Tensor, mask: Tensor | None) -> None:
    if mask is not None and mask.shape != image.shape[1:]:
        (height, width), (mask_height, mask_width) = image.shape[1:], mask.shape
        raise DataError(
            f"{files.anomaly_mask} is {mask_width}x{mask_height}, its image {files.image} {width}x{height}; a mask has "
            "the size of its image; resize the mask to the nearest pixel"
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
    labels = _images_in(root / "labels")
    if (root / "classes.json").is_file() or not labels:
        return read_classes(root / "classes.json")
    values = set[int]()
    for path in labels:
        values.update(torch.unique(read_label_map(path)).tolist())
    return infer_classes(values, root / "labels")


def _companions(folder: Path, images: Mapping[str, Path]) -> dict[str, Path]:
    """The PNG files of labels/ or anomalies/ by id."""
    files = [path for path in _images_in(folder) if path.suffix.lower() == ".png"]
    by_id = {path.relative_to(folder).with_suffix("").as_posix(): path for path in files}
    for sample_id, path in by_id.items():
        if sample_id not in images:
            raise DataError(f"{path} has no image {sample_id!r} in images/; add the image or remove this file")
    return by_id


def _images_in(folder: Path) -> list[Path]:
    inside = [path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    return [path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _expand(item: Path) -> list[Path]:
    """The images that one input stands for."""
    if item.is_file():
        return [item]
    if not item.is_dir():
        raise DataError(f"{item}: no such file or folder; check the path")
    paths = _images_in(item)
    if not paths:
        raise DataError(f"{item} holds no image; put files in it that end in {', '.join(IMAGE_SUFFIXES)}")
    return paths


SOURCE = Source(Folder)
