"""The samples of a data set that can be read: one that cannot costs no other, and its judge tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from synthcp.data.base import Dataset
from synthcp.data.derived import Derived
from synthcp.records import Sample


class Readable(Derived):
    """A data set that begins with a sample that can be read and passes over those that cannot.

    Where none can, it raises what the first one raises.
    """

    def __init__(self, dataset: Dataset) -> None:
        first = next((index for index in range(len(dataset)) if _can_be_read(dataset, index)), 0)
        super().__init__(dataset, range(first, len(dataset)))

    def __iter__(self) -> Iterator[Sample]:
        for index in range(len(self)):
            with suppress(Exception):
                yield self[index]


def _can_be_read(dataset: Dataset, index: int) -> bool:
    try:
        return bool(dataset[index].id)
    except Exception:  # files may raise anything
        return False
