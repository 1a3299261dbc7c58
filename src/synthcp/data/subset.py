"""Some samples of a data set: a fold, those that a file names, or a few from all over it."""

from __future__ import annotations

from pathlib import Path

from synthcp.data.base import Dataset
from synthcp.data.derived import Derived
from synthcp.data.files import read_text
from synthcp.errors import DataError


class Subset(Derived):
    """Some samples of a data set, in the given order."""


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
    wanted = set(filter(None, map(str.strip, read_text(path, "write one id a line").splitlines())))
    unknown = sorted(wanted - set(dataset.ids))
    if unknown:
        raise DataError(f"{path} names {unknown[0]!r}, which is no id of the data; its ids are like {dataset.ids[0]!r}")
    if not wanted:
        raise DataError(f"{path} names no image; write one id a line")
    return Subset(dataset, [index for index, sample_id in enumerate(dataset.ids) if sample_id in wanted])
