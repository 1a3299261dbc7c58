"""What a user is told that is no error: a line in Python's log, which the command line prints as a note."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from logging import Handler, LogRecord, getLogger
from typing import TextIO

from synthcp.errors import shown

_LOG = getLogger("synthcp")


def tell(line: str) -> None:
    """Tell one line."""
    _LOG.warning("%s", shown(line))


@contextmanager
def told_as_notes() -> Iterator[None]:
    """Print what is told on stderr, each line once; warnings of Python, of libraries say, are told as well."""
    handler = _Notes()
    _LOG.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _tell_warning
            yield
    finally:
        _LOG.removeHandler(handler)


def _tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Takes the place of warnings.showwarning, and so has its parameters."""
    tell(f"{category.__name__}: {' '.join(str(message).split())}")


class _Notes(Handler):
    def __init__(self) -> None:
        super().__init__()
        self._told = set[str]()

    def emit(self, record: LogRecord) -> None:
        line = record.getMessage()
        if line not in self._told:
            self._told.add(line)
            print(f"note: {line}", file=sys.stderr)
