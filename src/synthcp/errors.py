"""Every error that SynthCP raises on purpose.

SynthCPError
├── InputError        something the user gave is unusable: a file, a SPEC, an option
│   ├── DataError     an image, a label map or a data set
│   ├── WeightsError  a weights file or a run folder
│   ├── ShapeError    a tensor whose shape breaks a rule
│   ├── UnsuitedError a detector needs what this M or monitor does not have
│   └── RunError      a run cannot go on, whatever its other inputs are
└── MissingExtraError an optional library is not installed

A message is one line: what came, the rule, the remedy. The command line prints it and exits with code 2. Names of files
and ids are part of messages, so every message is `shown`: nothing in it can move a cursor or turn the text around.
"""

from __future__ import annotations

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LINE = 500


def shown(text: str) -> str:
    r"""Return a text as a terminal, a log or a page may show it: what is not printable is escaped, as repr does it.

    A newline becomes "\n", an escape code "\x1b[...", a byte that is no UTF-8 "\udcff"; so the text is one line.
    """
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def shortened(text: str, most: int = 40) -> str:
    """Return a text as a message quotes it: its beginning, where it is long."""
    return repr(text if len(text) <= most else f"{text[:most]}...")


class SynthCPError(Exception):
    """Root of the tree; catch it to catch everything that SynthCP raises on purpose."""

    def __str__(self) -> str:
        return shown(super().__str__())


class InputError(SynthCPError, ValueError):
    """Something the user gave is unusable."""


class DataError(InputError):
    """An image, a label map or a data set is unusable; the message names the file."""


class WeightsError(InputError):
    """A weights file or a run folder is missing, corrupt or does not fit the network."""


class ShapeError(InputError):
    """A tensor has a shape that breaks a rule."""


class UnsuitedError(InputError):
    """A detector needs something that this M or monitor does not have, such as dropout; others do without."""


class RunError(InputError):
    """A run cannot go on, whatever its other inputs are."""


class MissingExtraError(SynthCPError, ImportError):
    """An optional library is not installed; the message names the extra that brings it, and what wants it."""

    def __init__(self, library: str, extra: str, wanted: str = "") -> None:
        because = f"{wanted}, but " if wanted else ""
        super().__init__(f'{because}{library} is not installed; it comes with: pip install "synthcp[{extra}]"')


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that a disk or a quota is full."""
    while error is not None:
        texts = [part for part in error.args if isinstance(part, str)]  # of libraries that know no error numbers
        if getattr(error, "errno", None) in _FULL or any("No space left on device" in text for text in texts):
            return True
        error = error.__cause__ or error.__context__
    return False


def in_one_line(error: BaseException) -> str:
    """What an error says, in one line of bounded length; of one that SynthCP did not raise also its kind."""
    try:
        text = " ".join(str(error)[: 4 * _LINE].split())
    except Exception:  # an error of a brought model need not even have a text
        text = ""
    kind = "" if isinstance(error, SynthCPError) else type(error).__name__
    line = ": ".join(filter(None, (kind, text)))
    return line if len(line) <= _LINE or not kind else f"{line[:_LINE]} ..."
