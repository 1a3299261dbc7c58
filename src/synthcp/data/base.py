"""A data set: index -> Sample, with its classes; and what makes it a kind of data that a SPEC can name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

from synthcp.data.nifti import Grid
from synthcp.data.volume_preparation import VolumePreparation
from synthcp.records import Classes, Sample
from synthcp.system.spec import Reader


class Dataset(ABC):
    """Labelled or unlabelled images in a fixed, natural order (frames of a sequence stay neighbours).

    Attributes:
        classes: The label set.
        ids: The id of every sample, in order.
        preparation: How the values of files became volumes; None of images.
        patch: Size of the windows to train on, no sample being smaller; where it is empty, windows have the shape of
            the first sample and are as large as fit.
    """

    classes: Classes
    ids: Sequence[str]
    preparation: VolumePreparation | None = None
    patch: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Read one sample; raises DataError, naming the file, when it cannot be read."""

    @property
    def groups(self) -> list[str]:
        """The group of every sample, in order; where images lie in files, they are not read for it."""
        return [sample.group for sample in self]

    def label_map(self, index: int) -> Tensor | None:
        """The label map of one sample, shape (*S), int64; where images lie in files, they are not read for it."""
        return self[index].label_map

    @property
    def read_from(self) -> list[Path]:
        """Every file that it reads; none where samples are drawn or in memory."""
        return []

    def grid(self, index: int) -> Grid | None:
        """Return the grid of the file that one sample comes from, to write maps on; None of images."""
        return None

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True)
class Source:
    """One kind of data set, as `data.specs.DATASETS` lists it.

    Attributes:
        open: Called as open(root, split, **options) with the options that the SPEC names.
        options: How the value of each option is read; every kind has those of `data.specs.EVERY` besides.
        root: What the root is: a folder (a Path), nothing (None) of what is drawn, or another SPEC (its Dataset).
        example: A SPEC around another one, for messages.
        signs: In words, by what a folder of this kind is recognised; empty where nothing lies in a folder.
        recognises: Whether a folder that exists has these signs; it is read when a SPEC names no kind.
    """

    open: Callable[..., Dataset]
    options: Mapping[str, Reader] = field(default_factory=dict)
    root: Literal["folder", "nothing", "spec"] = "folder"
    example: str = ""
    signs: str = ""
    recognises: Callable[[Path], bool] = field(default=lambda root: False)
