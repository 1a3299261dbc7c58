"""Files that may be opened without harm: regular ones, of a size that is fit to be read."""

from __future__ import annotations

import stat
from pathlib import Path

from synthcp.errors import InputError

MEBIBYTE = 1 << 20


def require_file(path: Path, most: int | None = None) -> None:
    """See to it that reading a file comes to an end.

    Args:
        path: Of the file.
        most: Its greatest size in bytes; None sets no limit.

    Raises:
        InputError: It is a folder, a FIFO, a socket or a device, or larger.
        OSError: There is none, or it cannot be looked at.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is no regular file (a folder, FIFO, socket or device); put the file itself there")
    if most is not None and status.st_size > most:
        size = f"{status.st_size / MEBIBYTE:.0f} MiB"
        raise InputError(
            f"{path} has {size}, more than the {most // MEBIBYTE} MiB that such a file may have; replace it"
        )
