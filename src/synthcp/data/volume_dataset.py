"""Data sets of volumes in NIfTI files, and what their layouts share: a dataset.json, and how cases are split."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.classes import default_colors
from synthcp.data.folder import natural_key, require_split
from synthcp.data.nifti import Grid, read_grid, require_same_grid
from synthcp.data.preparation import VolumePreparation, read_volume, read_volume_labels
from synthcp.errors import DataError
from synthcp.records import Classes, Sample

SPLITS = ("train", "val", "test", "all", "unlabelled")
FIRST_OF_VAL, FIRST_OF_TEST = 0.60, 0.75
"""Shares of the labelled cases at which val and test begin."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class CaseFiles:
    """The files of one sample: its image (one file, or one for each channel) and its labels, None when it has none."""

    id: str
    image: tuple[Path, ...]
    label_map: Path | None = None


class VolumeDataset(Dataset):
    """Volumes that are read from NIfTI files, in natural order of their ids; each is a group of its own.

    Args:
        classes: The label set.
        cases: The files of every sample.
        preparation: How values become an image.

    Raises:
        DataError: A file is missing, or two cases share an id.
    """

    def __init__(self, classes: Classes, cases: Iterable[CaseFiles], preparation: VolumePreparation) -> None:
        self.classes = classes
        self.cases = in_order(cases)
        self.ids = [case.id for case in self.cases]
        self.preparation: VolumePreparation = preparation
        _check_files(self.cases)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; raises DataError, naming the file, when it cannot be read or image and labels differ."""
        case = self.cases[index]
        image, grid = read_volume(case.image, self.preparation)
        if case.label_map is None:
            return Sample(case.id, image, group=case.id)
        label_map, label_grid = read_volume_labels(case.label_map, self.preparation)
        require_same_grid(case.image[0], grid, case.label_map, label_grid)
        return Sample(case.id, image, label_map, group=case.id)

    @property
    def groups(self) -> list[str]:
        """The group of every sample, in order."""
        return list(self.ids)

    def label_map(self, index: int) -> Tensor | None:
        """Read the label map of one sample."""
        path = self.cases[index].label_map
        return None if path is None else read_volume_labels(path, self.preparation)[0]

    def grid(self, index: int) -> Grid:
        """Read the grid of one sample from the header of its image."""
        return read_grid(self.cases[index].image[0])


def in_order(cases: Iterable[CaseFiles]) -> list[CaseFiles]:
    """Return cases in natural order of their ids."""
    return sorted(cases, key=lambda case: natural_key(case.id))


def split_cases(root: Path, cases: Sequence[Item], split: str) -> Sequence[Item]:
    """Return the labelled cases of a split: contiguous, so that neighbours, often crops of one person, stay together.

    Args:
        root: Of the data set, for the message.
        cases: In natural order of their ids.
        split: "train" (the first 60 %), "val" (the next 15 %), "test" (the last 25 %) or "all".

    Raises:
        DataError: There is no such split, or no case in it.
    """
    require_split(root, split, SPLITS)
    val, test = round(FIRST_OF_VAL * len(cases)), round(FIRST_OF_TEST * len(cases))
    kept = {"train": cases[:val], "val": cases[val:test], "test": cases[test:]}.get(split, cases)
    return require_cases(root, split, kept)


def require_cases(root: Path, split: str, cases: Sequence[Item]) -> Sequence[Item]:
    """Return the cases of a split; raises DataError when there is none."""
    if not cases:
        raise DataError(f"{root} has no case of the split {split!r}; choose another one, such as split=all")
    return cases


def read_description(root: Path, keys: Sequence[str], layout: str) -> dict[str, Any]:
    """Read ROOT/dataset.json.

    Args:
        root: Of the data set.
        keys: That it must have.
        layout: What the data set is expected to look like, for the message.

    Raises:
        DataError: The file is missing or malformed, or lacks a key.
    """
    path = root / "dataset.json"
    content = read_json(path, layout)
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold an object {{...}}; {layout}")
    for key in keys:
        if key not in content:
            raise DataError(f'{path} lacks the key "{key}"; {layout}')
    return content


def read_json(path: Path, layout: str) -> Any:
    """Read a JSON file; raises DataError when it is missing or malformed."""
    if not path.is_file():
        raise DataError(f"{path} is missing; {layout}")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not readable as JSON ({error}); correct the file") from error


def classes_of(path: Path, names: Mapping[int, str], ignore_index: int = 255) -> Classes:
    """Return the label set of a description, whose class 0 is the background.

    Args:
        path: Of the description, for the message.
        names: Of the classes, by index.
        ignore_index: That the label maps carry where there is no class.

    Raises:
        DataError: The indices are not 0, 1, ... without a gap, at least two of them, or a name comes twice.
    """
    if len(names) < 2 or sorted(names) != list(range(len(names))):
        raise DataError(f'{path}: "labels" has the indices {sorted(names)}; they must be 0, 1, ... without a gap')
    if len(set(names.values())) < len(names):
        raise DataError(f'{path}: "labels" has a name that comes twice; names must differ; rename one')
    ordered = tuple(names[index] for index in range(len(names)))
    return Classes(ordered, default_colors(len(names)), ignore_index, background=0)


def _check_files(cases: Sequence[CaseFiles]) -> None:
    for case, following in zip(cases, cases[1:], strict=False):
        if case.id == following.id:
            raise DataError(f"{case.image[0]} and {following.image[0]} are both called {case.id}; keep one")
    for case in cases:
        for path in (*case.image, *filter(None, [case.label_map])):
            if not path.is_file():
                raise DataError(f"{path} is missing, of the case {case.id}; copy it there or leave the case out")
