"""CSV files of an output folder: how each kind of cell is written and read, and a file read line by line."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

from synthcp.errors import InputError

Line = TypeVar("Line")


class Cell(NamedTuple):
    """How the cells of a column are written, and read back."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]


def one_of(choices: Any) -> Cell:
    """One of the texts of a Literal."""

    def read(cell: str) -> str:
        if cell not in get_args(choices):
            raise ValueError(f"{cell!r} is neither {' nor '.join(filter(None, get_args(choices)))}")
        return cell

    return Cell(str, read)


_SEPARATOR = " | "
TEXT = Cell(str, str)
COUNT = Cell(lambda count: "" if count is None else str(count), lambda cell: int(cell) if cell else None)
NUMBER = Cell(lambda value: "" if math.isnan(value) else f"{value:.6g}", lambda cell: float(cell) if cell else math.nan)
SENTENCES = Cell(_SEPARATOR.join, lambda cell: tuple(filter(None, cell.split(_SEPARATOR))))
POINT = Cell(lambda point: " ".join(f"{along:.2f}" for along in point), lambda cell: tuple(map(float, cell.split())))


def read_table(path: Path, parse: Callable[[Mapping[str, str]], Line]) -> list[Line]:
    """Return what `parse` makes of each line of a CSV file, given as text by column.

    Raises:
        InputError: The file is missing or broken; the message names it.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return [parse(line) for line in csv.DictReader(file)]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a folder that a run wrote") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not as a run writes it ({error!r}); write the folder again") from error
