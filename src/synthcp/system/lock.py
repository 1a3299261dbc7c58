"""One run at a time in a folder: a lock of the kernel, which dies with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

from synthcp.errors import InputError
from synthcp.system.files import writing

OLD = "old"
"""The old folder, where a run takes its place in two steps."""
_LOCK = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Keep every other run out of a folder while the body runs.

    Gives a hidden folder beside it, in which the run may work. What is left there stays, for the next run; an empty
    one is removed.

    Raises:
        InputError: Another run holds the folder, or it cannot be written.
    """
    whole, beside = folder.resolve(), beside_of(folder)
    with writing(folder, f"; a run works and keeps its lock beside it, in {beside.parent}"):
        lock = _taken(beside, folder)
    with lock:
        if (beside / OLD).is_dir() and not whole.exists():  # a run was killed between the two steps
            os.rename(beside / OLD, whole)
        try:
            yield beside
        finally:
            if os.listdir(beside) == [_LOCK]:
                clear(beside)


def beside_of(folder: Path) -> Path:
    """Return the hidden folder in which a run works that writes a folder; raises InputError for the root of a disk."""
    whole = folder.resolve()
    if not whole.name:
        raise InputError(f"{folder} is the root of a disk; choose a folder in it")
    return whole.with_name(f".{whole.name}.partial")


def clear(beside: Path, keep_lock: bool = False) -> None:
    """Remove what a run left beside its folder; the lock last, or not at all.

    Raises:
        InputError: Something cannot be removed.
    """
    try:
        for path in list(beside.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()
    except OSError as error:
        raise InputError(f"{beside} of an earlier run cannot be removed ({error}); remove it yourself") from error
    if not keep_lock:
        (beside / _LOCK).unlink()
        beside.rmdir()


def _taken(beside: Path, folder: Path) -> TextIOWrapper:
    """The lock file, held; it is taken again when the run before removed it between opening and locking."""
    while True:
        beside.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened, suppress(FileNotFoundError):
            lock = opened.enter_context(open(beside / _LOCK, "a+", encoding="utf-8"))
            _hold(lock, folder)
            if os.path.samestat(os.fstat(lock.fileno()), os.stat(beside / _LOCK)):
                opened.pop_all()
                return lock


def _hold(lock: TextIOWrapper, folder: Path) -> None:
    """Lock a file and write into it who holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        raise InputError(
            f"another run (process {lock.read() or 'unknown'}) is at work on {folder}; wait until it ends, or choose "
            "another folder"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
