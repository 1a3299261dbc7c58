"""SPECs, as on the command line: NAME:ROOT?option=value&option=value, and how the values of options are read."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthcp.errors import InputError, shortened

Options = Mapping[str, str]
Reader = Callable[[str], Any]
"""Reads the value of an option; raises InputError with the rule that the text breaks."""

PREDICTIONS = "preds"
"""Name of the SPECs of predictions on disk; every batch of images has a folder of its own."""
DECIMAL = r"[0-9]+(?:\.[0-9]+)?"


@dataclass(frozen=True)
class Spec:
    """The parts of a SPEC; a part that is not there is empty."""

    text: str
    name: str
    root: str
    query: str

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Take a SPEC apart."""
        place, _, query = text.partition("?")
        name, _, root = place.partition(":")
        return cls(text, name, root, query)

    def options(self, known: Collection[str]) -> Options:
        """Read the options.

        Raises:
            InputError: An option is unknown, or has no value.
        """
        options = dict[str, str]()
        for item in filter(None, self.query.split("&")):
            key, equals, value = item.partition("=")
            if key not in known:
                raise InputError(f"{self.text}: no option {key!r}; {choices(key, known)}")
            if not (equals and value):
                raise InputError(f"{self.text}: the option {key} has no value; write {key}=VALUE")
            options[key] = value
        return options


def choices(word: str, known: Collection[str]) -> str:
    """Say what may be written in place of a word."""
    close = difflib.get_close_matches(word, known, n=1)
    return (f"did you mean {close[0]}? " if close else "") + f"choose one of: {', '.join(known)}"


def values(options: Options, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Return the values of the options that have a reader; raises InputError, naming option and rule."""
    return {key: _value(key, text, readers[key]) for key, text in options.items() if key in readers}


def _value(key: str, text: str, read: Reader) -> Any:
    try:
        return read(text)
    except InputError as error:
        raise type(error)(f"{key}={shortened(text, 200)[1:-1]}: {error}") from error


def up_to(high: int) -> Reader:
    """Return a reader of whole numbers from 0 on."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,20}", text) or int(text) > high:
            raise InputError(f"the value must be a whole number from 0 to {high}, such as 40")
        return int(text)

    return read


whole_number = up_to(2**32 - 1)
COUNT = up_to(1_000_000)
"""Of images."""
MOST_PIXELS = 100_000_000
"""Of an image or a volume whose size an option gives."""


def low_high(text: str) -> tuple[float, float]:
    """Read the limits of a range."""
    limits = re.fullmatch(rf"({DECIMAL})\.\.({DECIMAL})", text)
    if not limits:
        raise InputError("the value must be LOW..HIGH, such as 0.2..1")
    return float(limits[1]), float(limits[2])


def name_list(text: str) -> list[str]:
    """Read names that are parted by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def path_of(text: str | Path) -> Path:
    """Return a path with "~" and "~NAME" as the home that they stand for; where there is none they stay as they are."""
    return Path(os.path.expanduser(text))


def folder(text: str) -> Path:
    """Read the path of a folder that must exist."""
    path = path_of(text)
    if not path.is_dir():
        raise InputError("no such folder; check the path")
    return path


def choice(*known: str) -> Reader:
    """Return a reader of one of some words."""

    def read(text: str) -> str:
        if text not in known:
            raise InputError(f"no such value; {choices(text, known)}")
        return text

    return read


def size(form: str, example: str) -> Reader:
    """Return a reader of whole numbers parted by "x", as many as in the example; the form says what they are."""

    def read(text: str) -> tuple[int, ...]:
        sides = text.split("x")
        if len(sides) != len(example.split("x")) or not all(re.fullmatch("[0-9]{1,9}", side) for side in sides):
            raise InputError(f"the value must be {form}, such as {example}")
        if math.prod(map(int, sides)) > MOST_PIXELS:
            raise InputError(f"the value must be {form} of at most {MOST_PIXELS} in all, such as {example}")
        return tuple(map(int, sides))

    return read
