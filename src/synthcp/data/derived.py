"""Data sets that are made of another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.nifti import Grid
from synthcp.records import Sample


class Derived(Dataset):
    """Samples of another data set with all that is known of them; those who derive from it say what they change.

    Args:
        dataset: The other one.
        indices: Of the samples to keep, in their order; None keeps all.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | None = None) -> None:
        self.dataset = dataset
        self.indices = range(len(dataset)) if indices is None else indices
        self.ids = dataset.ids if indices is None else [dataset.ids[index] for index in indices]
        self.classes = dataset.classes
        self.preparation = dataset.preparation
        self.patch = dataset.patch

    def __getitem__(self, index: int) -> Sample:
        """Return one sample."""
        return self.dataset[self.indices[index]]

    @property
    def groups(self) -> list[str]:
        """The group of every sample, in order."""
        groups = self.dataset.groups
        return [groups[index] for index in self.indices]

    def label_map(self, index: int) -> Tensor | None:
        """Return the label map of one sample."""
        return self.dataset.label_map(self.indices[index])

    @property
    def read_from(self) -> list[Path]:
        """Every file that the other one reads."""
        return self.dataset.read_from

    def grid(self, index: int) -> Grid | None:
        """Return the grid of one sample."""
        return self.dataset.grid(self.indices[index])
