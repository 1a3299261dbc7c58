"""One input that fails costs no other: its error becomes one line, and what there is to know of it goes to a log."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from synthcp.errors import RunError, SynthCPError, in_one_line, is_disk_full, shown
from synthcp.system.files import writing

Costing = Callable[[str], AbstractContextManager[None]]
"""Called with the id of an input; decides whether what the body raises costs that input alone."""

LOG = "errors.log"
_FRAMES = 20
_TRACEBACK = 20_000
_LOG_SIZE = 5_000_000


@contextmanager
def raising(input_id: str) -> Iterator[None]:
    """Let whatever the body raises end the run."""
    yield


class Failures:
    """The inputs that failed.

    Args:
        log: File of the tracebacks, which is begun anew; it is there only when there is one.

    Attributes:
        messages: Why, one line for each, by the id of the input.
    """

    def __init__(self, log: Path) -> None:
        self.messages: dict[str, str] = {}
        self._log = log
        with writing(log):
            log.unlink(missing_ok=True)

    @contextmanager
    def costing(self, input_id: str) -> Iterator[None]:
        """Let whatever the body raises cost one input, unless it would cost every other one as well.

        An interruption, a full disk and what stops the whole run go on. What SynthCP raises on purpose says all there
        is to know; of anything else, which a model may raise, the last frames are logged.
        """
        try:
            yield
        except BaseException as error:  # the models that people bring may raise anything, SystemExit included
            if isinstance(error, KeyboardInterrupt | GeneratorExit | RunError) or is_disk_full(error):
                raise
            if input_id not in self.messages and not isinstance(error, SynthCPError):
                self._write(input_id, error)
            self.messages[input_id] = in_one_line(error)

    def told(self, count: int) -> str:
        """How many of the inputs failed, and why the first did; empty when none did."""
        if not self.messages:
            return ""
        first, message = next(iter(self.messages.items()))
        return f"{len(self.messages)} of {count}; the first, {first}: {message}"

    def _write(self, input_id: str, error: BaseException) -> None:
        """Append the end of a traceback, as long as the log is short."""
        lines = traceback.TracebackException(type(error), error, error.__traceback__, limit=-_FRAMES).format()
        text = "\n".join(map(shown, [input_id, *"".join(lines)[-_TRACEBACK:].split("\n")]))
        with writing(self._log):
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with open(self._log, "a", encoding="utf-8") as log:
                if log.tell() < _LOG_SIZE:
                    log.write(f"{text}\n")
