"""Some samples of a data set: a fold, those that a file names, or a few from all over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.nifti import Grid
from synthcp.errors import DataError
from synthcp.records import Sample


class Subset(Dataset):
    """Some samples of a data set, in the given order."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.classes = dataset.classes
        self.ids = [dataset.ids[index] for index in indices]
        self.preparation = dataset.preparation
        self.patch = dataset.patch
        self._dataset = dataset
        self._indices = indices

    def __getitem__(self, index: int) -> Sample:
        """Return one sample."""
        return self._dataset[self._indices[index]]

    @property
    def groups(self) -> list[str]:
        """The group of every sample, in order."""
        groups = self._dataset.groups
        return [groups[index] for index in self._indices]

    def label_map(self, index: int) -> Tensor | None:
        """Return the label map of one sample."""
        return self._dataset.label_map(self._indices[index])

    def grid(self, index: int) -> Grid | None:
        """Return the grid of one sample."""
        return self._dataset.grid(self._indices[index])


def spread(dataset: Dataset, count: int) -> Subset:
    """Return up to `count` samples, evenly spread over a data set; the first one is always among them."""
    kept = min(count, len(dataset))
    return Subset(dataset, [number * len(dataset) // kept for number in range(kept)])


def only(dataset: Dataset, path: Path) -> Subset:
    """Return the samples whose ids a text file names, one a line, in the data set's own order.

    Raises:
        DataError: The file is missing, empty or no text, or it names an id that the data set does not have.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; it names the ids to keep, one a line")
    wanted = set(filter(None, map(str.strip, _text(path).splitlines())))
    unknown = sorted(wanted - set(dataset.ids))
    if unknown:
        raise DataError(f"{path} names {unknown[0]!r}, which is no id of the data; its ids are like {dataset.ids[0]!r}")
    if not wanted:
        raise DataError(f"{path} names no image; write one id a line")
    return Subset(dataset, [index for index, sample_id in enumerate(dataset.ids) if sample_id in wanted])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise DataError(f"{path} is no text file ({error}); write one id a line, in UTF-8") from error
