"""CSV files of an output folder, read line by line; one that cannot be used is named."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from synthcp.errors import InputError

Line = TypeVar("Line")


def read_table(path: Path, parse: Callable[[dict[str, str]], Line]) -> list[Line]:
    """Return what `parse` makes of each line, given as text by column.

    Raises:
        InputError: The file is missing or broken; the message names it.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return [parse(line) for line in csv.DictReader(file)]
    except OSError as error:
        rule = f"it appears when a run ends; for a run that stopped early rename {path.name}.partial to {path.name}"
        raise InputError(f"{path} cannot be read ({error.strerror}); {rule}") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a {path.stem} table ({error!r}); write the folder again") from error
