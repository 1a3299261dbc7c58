"""What a user is told that is no error: a line in Python's log, which the command line prints as a note."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging import Handler, LogRecord, getLogger

from synthcp.errors import shown

_LOG = getLogger("synthcp")


def tell(line: str) -> None:
    """Tell one line."""
    _LOG.warning("%s", shown(line))


@contextmanager
def told_as_notes() -> Iterator[None]:
    """Print what is told on stderr, each line once."""
    handler = _Notes()
    _LOG.addHandler(handler)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)


class _Notes(Handler):
    def __init__(self) -> None:
        super().__init__()
        self._told = set[str]()

    def emit(self, record: LogRecord) -> None:
        line = record.getMessage()
        if line not in self._told:
            self._told.add(line)
            print(f"note: {line}", file=sys.stderr)
