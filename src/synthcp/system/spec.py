"""The grammar of SPECs, as on the command line: NAME:ROOT?option=value&option=value."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from synthcp.errors import InputError

Options = Mapping[str, str]

PREDICTIONS = "preds"
"""Name of the SPECs of predictions on disk; every batch of images has a folder of its own."""


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
