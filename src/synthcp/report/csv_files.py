"""CSV files of an output folder: how each kind of cell is written and read, and a file read line by line.

A spreadsheet runs a cell that begins with =, +, -, @, a tab or a carriage return as a formula. So a text that begins
with one of these (or a newline, or a full-width =, +, - or @) is written with a "'" in front, as is one that begins
with "'" itself; reading a cell takes one "'" away.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar, get_args

from synthcp.errors import InputError, shortened
from synthcp.system.regular import require_file

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


def written_text(text: str) -> str:
    """Return the cell of a text, which no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_GUARDED) else text


def read_text(cell: str) -> str:
    """Return the text of a cell."""
    return cell.removeprefix("'")


def _number(cell: str, high: float = math.inf) -> float:
    if not cell:
        return math.nan
    value = float(cell)
    if not (math.isfinite(value) and 0 <= value <= high):
        raise ValueError(f"{shortened(cell)} is no number from 0 {'on' if math.isinf(high) else f'to {high:g}'}")
    return value


def _count(cell: str) -> int | None:
    if cell and not re.fullmatch(r"[0-9]{1,15}", cell):
        raise ValueError(f"{shortened(cell)} is no whole number of at most 15 digits")
    return int(cell) if cell else None


def _point(cell: str) -> tuple[float, ...]:
    point = tuple(map(float, cell.split()))
    if not all(map(math.isfinite, point)):
        raise ValueError(f"{shortened(cell)} is no point")
    return point


def _written_number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


_GUARDED = ("'", *"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")
_SEPARATOR = " | "
_LONGEST = 1_000_000
"""Of a line of a table, in characters; a longer one is none that a run writes."""
TEXT = Cell(written_text, read_text)
COUNT = Cell(lambda count: "" if count is None else str(count), _count)
NUMBER = Cell(_written_number, _number)


def up_to(most: float) -> Cell:
    """A number from 0 to the most."""
    return Cell(_written_number, lambda cell: _number(cell, most))


SHARE = up_to(1.0)
SENTENCES = Cell(
    lambda texts: written_text(_SEPARATOR.join(texts)),
    lambda cell: tuple(filter(None, read_text(cell).split(_SEPARATOR))),
)
POINT = Cell(lambda point: " ".join(f"{along:.2f}" for along in point), _point)


def read_table(path: Path, needed: Iterable[str], parse: Callable[[Mapping[str, str]], Line]) -> list[Line]:
    """Return what `parse` makes of each line of a CSV file, given as text by column; it must have the needed columns.

    Raises:
        InputError: The file is missing or broken; the message names it.
    """
    try:
        require_file(path)
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            table = csv.DictReader(_lines(file))
            missing = [name for name in needed if name not in (table.fieldnames or ())]
            if missing:
                raise ValueError(f"it has no column {missing[0]}")
            return [parse(line) for line in table]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a folder that a run wrote") from error
    except (KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(f"{path} is not as a run writes it ({error!r}); write the folder again") from error


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a file, none longer than a run writes, whatever the size of the file."""
    while line := file.readline(_LONGEST):
        if len(line) == _LONGEST:
            raise ValueError(f"a line has {_LONGEST} characters or more")
        yield line
