"""Data sets of volumes in NIfTI files, and what their layouts share: a dataset.json, and how cases are split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from synthcp.data.files import FileDataset, SampleFiles, require_split
from synthcp.data.finding import natural_key
from synthcp.data.nifti import Grid, read_grid, require_same_grid
from synthcp.data.volume_preparation import VolumePreparation, read_volume, read_volume_labels
from synthcp.errors import DataError
from synthcp.records import Classes, Sample
from synthcp.system.files import load_json

SPLITS = ("train", "val", "test", "all", "unlabelled")
FIRST_OF_VAL, FIRST_OF_TEST = 0.60, 0.75
"""Shares of the labelled cases at which val and test begin."""
DESCRIPTION = "dataset.json"
KINDS: dict[type, str] = {dict: "an object with entries", list: "a list", str: "a text"}


class VolumeDataset(FileDataset):
    """Volumes that are read from NIfTI files; each is a group of its own.

    Args:
        classes: The label set.
        files: Of every sample.
        preparation: How values become an image.

    Raises:
        DataError: A file is missing, or two samples share an id.
    """

    def __init__(self, classes: Classes, files: Iterable[SampleFiles], preparation: VolumePreparation) -> None:
        super().__init__(classes, files)
        self.preparation: VolumePreparation = preparation
        _check_files(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; raises DataError, naming the file, when it cannot be read or image and labels differ."""
        files = self.files[index]
        image, grid = read_volume((files.image, *files.channels), self.preparation)
        if files.label_map is None:
            return Sample(files.id, image, group=files.group)
        label_map, label_grid = read_volume_labels(files.label_map, self.preparation)
        require_same_grid(files.image, grid, files.label_map, label_grid)
        return Sample(files.id, image, label_map, group=files.group)

    def label_map(self, index: int) -> Tensor | None:
        """Read the label map of one sample."""
        path = self.files[index].label_map
        return None if path is None else read_volume_labels(path, self.preparation)[0]

    def grid(self, index: int) -> Grid:
        """Read the grid of one sample from the header of its image."""
        return read_grid(self.files[index].image)


def volume_files(images: Sequence[Path], label_map: Path | None, name: str) -> SampleFiles:
    """The files of a volume, its image being one file or one for each channel."""
    return SampleFiles(name, images[0], label_map, group=name, channels=tuple(images[1:]))


def split_cases(root: Path, cases: Iterable[SampleFiles], split: str) -> list[SampleFiles]:
    """Return the labelled cases of a split: contiguous, so that neighbours, often crops of one person, stay together.

    Args:
        root: Of the data set, for the message.
        cases: All of them; their natural order is split.
        split: "train" (the first 60 %), "val" (the next 15 %), "test" (the last 25 %) or "all".

    Raises:
        DataError: There is no such split, or no case in it.
    """
    require_split(root, split, SPLITS)
    ordered = sorted(cases, key=lambda case: natural_key(case.id))
    val, test = round(FIRST_OF_VAL * len(ordered)), round(FIRST_OF_TEST * len(ordered))
    kept = {"train": ordered[:val], "val": ordered[val:test], "test": ordered[test:]}.get(split, ordered)
    return require_cases(root, split, kept)


def require_cases(root: Path, split: str, cases: list[SampleFiles]) -> list[SampleFiles]:
    """Return the cases of a split; raises DataError when there is none."""
    if not cases:
        raise DataError(f"{root} has no case of the split {split!r}; choose another one, such as split=all")
    return cases


def describes(root: Path, *keys: str) -> bool:
    """Whether there is a ROOT/dataset.json that has these keys; raises DataError when there is one that is no JSON."""
    path = root / DESCRIPTION
    return path.is_file() and load_json(path, "give the kind of the data, KIND:ROOT", DataError).keys() >= set(keys)


def read_description(root: Path, keys: Mapping[str, type], layout: str) -> dict[str, Any]:
    """Read ROOT/dataset.json, which must have the keys, with values of these types; the layout is for the message.

    Raises:
        DataError: The file is missing or malformed, lacks a key or has another value there.
    """
    path = root / DESCRIPTION
    content = load_json(path, layout, DataError)
    for key, kind in keys.items():
        if key not in content:
            raise DataError(f'{path} lacks the key "{key}"; {layout}')
        if not isinstance(content[key], kind) or content[key] == {}:
            raise DataError(f'{path}: "{key}" must be {KINDS[kind]}; {layout}')
    return content


def _check_files(cases: Sequence[SampleFiles]) -> None:
    for case in cases:
        for path in filter(None, (case.image, *case.channels, case.label_map)):
            if not path.is_file():
                raise DataError(f"{path} is missing, of the case {case.id}; copy it there or leave the case out")
