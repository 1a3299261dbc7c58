"""An output folder is one run's, whole: written beside its place, and put there in one step at the end."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from synthcp.errors import InputError, shortened
from synthcp.system.files import load_json, save_json, writing
from synthcp.system.kept import Work, at_work
from synthcp.system.lock import OLD, locked

FILES = "files.json"
"""Lists the files that the run wrote: they alone are replaced by the next one."""
_REMEDY = "restore it, or let the run write another folder"
_HALF = r"\.\d+\.partial\..+"
"""What a dead run leaves of a file that was to be replaced whole."""
_LITTER = re.compile(rf"\.DS_Store|Thumbs\.db|desktop\.ini|{_HALF}")
"""That, and what file managers leave behind."""
_EXCHANGE, _HERE = 2, -100
"""RENAME_EXCHANGE and AT_FDCWD of Linux."""


@contextmanager
def output_folder(out: Path, asked: Mapping[str, str] | None = None, resume: bool = False) -> Iterator[Work]:
    """Give the place where a run writes its output folder, which takes the place of the old one when the body ends.

    Until then, and if the body fails, the old folder stays as it was.

    Args:
        out: The output folder: new, empty, or one that a run wrote.
        asked: All that the results depend on, by name; without it nothing is kept for a resumed run.
        resume: Go on from what an interrupted run has done.

    Raises:
        InputError: The folder cannot be replaced, holds files that no run wrote, is in use by another run, or was
            interrupted in a run that was asked other things.
    """
    place = out.resolve()
    _require_replaceable(place, out)
    with at_work(place, asked or {}, resume) as work:
        _require_ours(place, out)
        with writing(out):
            work.new.mkdir(exist_ok=True)
            _remove_halves(work.new)
        yield work
        _require_ours(place, out)
        save_json(work.new / FILES, {"run": work.run, "files": sorted(_files(work.new))})
        with writing(out), work.ending():
            _put(work, place)


@contextmanager
def changing(out: Path) -> Iterator[None]:
    """Lock an output folder while single files of it are written, each whole; new ones are the run's from then on.

    Raises:
        InputError: The folder is in use by another run, or cannot be written, or its list of files is damaged.
    """
    if not (out / FILES).is_file():  # there is nothing to keep together
        yield
        return
    with locked(out):
        _remove_halves(out)
        with listing(out):
            yield


@contextmanager
def listing(out: Path) -> Iterator[None]:
    """Add what the body writes into an output folder to the files of its run, also when it fails.

    Nothing is listed where no run did; as `changing`, for those who hold the folder's lock or need none.

    Raises:
        InputError: The list cannot be written, or is damaged.
    """
    known, before = listed(out), _files(out)
    try:
        yield
    finally:
        added = _files(out) - before - known
        if added and (out / FILES).is_file():
            save_json(out / FILES, load_json(out / FILES) | {"files": sorted(listed(out) | added)})


def listed(folder: Path) -> set[str]:
    """Return the files that a run lists as its own, as paths in the folder; none of a folder that no run wrote.

    Raises:
        InputError: The list is damaged, or names what lies elsewhere.
    """
    path = folder / FILES
    if not path.is_file():
        return set()
    names = load_json(path, _REMEDY).get("files")
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise InputError(f'{path} holds no list of names under "files"; {_REMEDY}')
    root = os.path.realpath(folder)
    for name in names:
        if not _is_in(root, name):
            came = f"{path} names {shortened(name)}, which is no file in that folder"
            raise InputError(f"{came}; a run lists its own files, without links and '..'; {_REMEDY}")
    return set(names)


def _is_in(root: str, name: str) -> bool:
    """Whether a name leads to a place below a folder, in the plainest way and by no link."""
    try:
        return os.path.realpath(f"{root}/{name}") == f"{root}/{name}"
    except ValueError:  # no name of a file
        return False


def _require_replaceable(place: Path, out: Path) -> None:
    if place.exists() and not place.is_dir():
        raise InputError(f"{out} is a file; the output goes into a folder; choose another name")
    if place.is_mount() or Path.cwd().is_relative_to(place):
        what = "a mounted disk" if place.is_mount() else "the folder you are in, or holds it"
        raise InputError(f"{out} is {what}, and is replaced as a whole; choose a folder in it, such as {out / 'out'}")


def _require_ours(place: Path, out: Path) -> None:
    """Refuse a folder with files that no run wrote: nothing of the user's is ever removed."""
    if not place.is_dir():
        return
    foreign = sorted(_files(place) - {FILES, *listed(place)})
    if foreign:
        more = f" and {len(foreign) - 1} more files" if len(foreign) > 1 else ""
        raise InputError(
            f"{out} holds {foreign[0]}{more}, which no run wrote that is to be replaced; move them away, or choose "
            "another folder"
        )


def _files(folder: Path) -> set[str]:
    """Every file and link below a folder, without litter."""
    found = set[str]()
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        inside = Path(root).relative_to(folder)
        found |= {(inside / name).as_posix() for name in (*files, *links) if not _LITTER.fullmatch(name)}
    return found


def _remove_halves(folder: Path) -> None:
    for path in list(folder.rglob(".*.partial.*")):
        if re.fullmatch(_HALF, path.name):
            path.unlink()


def _put(work: Work, place: Path) -> None:
    """Put the new folder in its place, in one step wherever the system can."""
    if not place.exists():
        os.rename(work.new, place)
        return
    shutil.copymode(place, work.new)
    if not any(place.iterdir()):
        os.rename(work.new, place)
    elif not _exchanged(work.new, place):
        _put_in_two_steps(work, place)


def _put_in_two_steps(work: Work, place: Path) -> None:
    os.rename(place, work.beside / OLD)
    try:
        os.rename(work.new, place)
    except BaseException:
        os.rename(work.beside / OLD, place)
        raise


def _exchanged(first: Path, second: Path) -> bool:
    """Whether two folders could be made to change places in one step, as Linux does on most file systems."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    return exchange is not None and exchange(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0
