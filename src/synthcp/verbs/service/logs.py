"""The log: a line of JSON for each event, on stderr; what an image shows or is called is never in it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from logging import INFO, WARNING, Formatter, LogRecord, StreamHandler, captureWarnings, getLogger

from synthcp.errors import in_one_line

_LOG = getLogger("synthcp.verbs.service")
_LOG.propagate = False  # the program prints what "synthcp" is told as notes


class _Lines(Formatter):
    """What is logged as JSON; of an error its kind and text, and no traceback."""

    def format(self, record: LogRecord) -> str:
        fields = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            fields = fields | {"problem": in_one_line(record.exc_info[1])}
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": time, "level": record.levelname.lower(), "logger": record.name} | fields)


def write_logs() -> None:
    """Write what this process logs, also that of libraries, to stderr."""
    handler = StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    getLogger().handlers[:] = [handler]
    getLogger().setLevel(WARNING)
    captureWarnings(True)
    _LOG.handlers[:] = [handler]
    _LOG.setLevel(INFO)


def log(event: str, **fields: object) -> None:
    """Tell of an event; one that is called "error" is one."""
    (_LOG.error if event == "error" else _LOG.info)({"event": event} | fields)
