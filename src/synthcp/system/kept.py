"""What a run has done so far, kept beside its folder, so that it is taken up again where it was interrupted."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from synthcp.errors import InputError, RunError, WeightsError
from synthcp.system.files import load_json, load_tensors, save_json, save_tensors
from synthcp.system.lock import beside_of, clear, locked
from synthcp.system.telling import tell

_ASKED, _ENDING = "asked.json", "ending.json"
_WAY_ON = "give the command again with --resume (demo needs no option), to go on from there"


@dataclass(frozen=True)
class Done:
    """What was found out about one input.

    Attributes:
        digest: Of the input, by which a changed one is told.
        text: For the caller.
        tensors: For the caller.
    """

    digest: str
    text: str
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class Work:
    """Where a run works until it ends: a hidden folder beside its own.

    Attributes:
        beside: That folder.
        run: Tells this run from every other one.
        goes_on: Whether it was interrupted before.
    """

    beside: Path
    run: str
    goes_on: bool

    @property
    def new(self) -> Path:
        """What is to take the place of the folder."""
        return self.beside / "new"

    @property
    def has_done(self) -> bool:
        """Whether there is anything to go on from."""
        return any(self.beside.glob("new/*")) or any(self._done.glob("*.safetensors"))

    def keep(self, index: int, done: Done) -> None:
        """Write down what was found out about an input, whole or not at all."""
        save_tensors(self._path(index), done.tensors, {"digest": done.digest, "text": done.text})

    def kept(self, index: int, digest: str, name: str) -> Done | None:
        """Return what was found out about an input before the run was interrupted; None when nothing was.

        Raises:
            RunError: The input has changed since.
        """
        if not (self.goes_on and self._path(index).is_file()):
            return None
        try:
            tensors, about = load_tensors(self._path(index), finite=False)  # maps are NaN where undefined
        except WeightsError:  # a machine that lost its power
            return None
        if about["digest"] != digest:
            raise RunError(f"{name} has changed since the run was interrupted; begin anew, without --resume")
        return Done(digest, about["text"], tensors)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Put the results in their place in the body: nobody goes on with the run after it, unless it fails.

        One that is killed in the body begins anew, whether its results are in their place or not.
        """
        asked, ending = self.beside / _ASKED, self.beside / _ENDING
        os.rename(asked, ending)
        try:
            yield
        except BaseException:
            os.rename(ending, asked)
            raise

    @property
    def _done(self) -> Path:
        return self.beside / "done"

    def _path(self, index: int) -> Path:
        return self._done / f"{index}.safetensors"


@contextmanager
def at_work(folder: Path, asked: Mapping[str, str], resume: bool = False) -> Iterator[Work]:
    """Lock a folder and give the place beside it where a run works; what is there is removed when the run ends.

    What an interrupted run has done stays there.

    Args:
        folder: Of the run.
        asked: All that the results depend on, by name.
        resume: Go on from what an interrupted run has done, if one was; otherwise that is removed.

    Raises:
        InputError: Another run holds the folder, it cannot be written, or the interrupted run was asked other things.
    """
    with locked(folder) as beside:
        work = _taken_up(beside, folder, asked) if resume else None
        work = work or _begun(beside, asked)
        try:
            yield work
        except BaseException as error:
            if not (asked and work.has_done):
                _clear_up(beside)
            elif not isinstance(error, RunError):  # which says itself what to do
                error.add_note(f"what was done is kept in {beside}; {_WAY_ON}")
            raise
        _clear_up(beside)


def was_interrupted(folder: Path, asked: Mapping[str, str]) -> bool:
    """Whether there is work of an interrupted run that was asked the same."""
    path = beside_of(folder) / _ASKED
    return path.is_file() and load_json(path)["asked"] == asked


def _clear_up(beside: Path) -> None:
    """Remove what the next run will not go on from; what cannot be removed harms none but that one, and is told."""
    try:
        clear(beside, keep_lock=True)
    except InputError as error:
        tell(f"warning: {error}")


def _begun(beside: Path, asked: Mapping[str, str]) -> Work:
    clear(beside, keep_lock=True)
    work = Work(beside, uuid.uuid4().hex, goes_on=False)
    save_json(beside / _ASKED, {"asked": dict(asked), "run": work.run})
    return work


def _taken_up(beside: Path, folder: Path, asked: Mapping[str, str]) -> Work | None:
    """The work of an interrupted run; None when there is none."""
    if not (beside / _ASKED).is_file():
        return None
    begun = load_json(beside / _ASKED)
    others = [name for name, value in asked.items() if begun["asked"].get(name) != value]
    if others:
        raise InputError(
            f"the interrupted run into {folder} had another {others[0]}; repeat its command with --resume, or begin "
            "anew without"
        )
    return Work(beside, begun["run"], goes_on=True)
