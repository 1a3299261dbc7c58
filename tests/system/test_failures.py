from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from synthcp.errors import DataError, InputError, RunError, in_one_line, is_disk_full
from synthcp.system.failures import Failures


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.fixture
def failures(tmp_path: Path) -> Failures:
    return Failures(tmp_path / "errors.log")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "MemoryError"),
        (RuntimeError("CUDA out of memory.\n Tried"), "RuntimeError: CUDA out of memory. Tried"),
        (OverflowError("too large"), "OverflowError: too large"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), "OSError: [Errno 36] File name too long"),
        (SystemExit(3), "SystemExit: 3"),
        (Unspeakable(), "Unspeakable"),
        (DataError("a.png is no image; give one"), "a.png is no image; give one"),
    ],
)
def test_whatever_is_raised_costs_one_input(
    failures: Failures, tmp_path: Path, error: BaseException, message: str
) -> None:
    with failures.costing("a"):
        raise error
    with failures.costing("b"):
        pass
    assert failures.messages == {"a": message} and failures.told(7) == f"1 of 7; the first, a: {message}"
    log = tmp_path / "errors.log"
    assert log.exists() == (not isinstance(error, InputError))  # what is raised on purpose says all there is to know
    if log.exists():
        assert log.read_text().startswith("a\nTraceback") and "raise error" in log.read_text()


def test_names_in_the_log_move_no_cursor(failures: Failures, tmp_path: Path) -> None:
    with failures.costing("a\n\x1b[2J\u202e\udcff.png"):
        raise RuntimeError("one\ntwo \x1b[31m")
    text = (tmp_path / "errors.log").read_text()
    assert text.startswith("a\\n\\x1b[2J\\u202e\\udcff.png\nTraceback") and "one\ntwo \\x1b[31m\n" in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "quota"), RunError("no way on; stop")],
)
def test_what_costs_every_input_stops_the_run(failures: Failures, error: BaseException) -> None:
    with pytest.raises(type(error)), failures.costing("a"):
        raise error
    assert failures.messages == {} and failures.told(1) == ""


def test_a_full_disk_is_told_through_what_it_caused() -> None:
    with pytest.raises(InputError) as caught:
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError as error:
            raise InputError("x cannot be written") from error
    assert (
        is_disk_full(caught.value) and not is_disk_full(OSError(errno.EACCES, "not yours")) and not is_disk_full(None)
    )


def test_lines_and_log_are_bounded(failures: Failures, tmp_path: Path) -> None:
    def deep(level: int) -> None:
        if level == 0:
            raise ValueError("x" * 100_000)
        deep(level - 1)

    with failures.costing("a"):
        deep(sys.getrecursionlimit() // 4)
    assert len(failures.messages["a"]) < 600 and (tmp_path / "errors.log").stat().st_size < 21_000
    for number in range(400):
        with failures.costing(str(number)):
            deep(3)
    assert (tmp_path / "errors.log").stat().st_size < 5_100_000 and len(failures.messages) == 401


def test_a_new_run_begins_a_new_log(failures: Failures, tmp_path: Path) -> None:
    with failures.costing("a"):
        raise ValueError
    assert (tmp_path / "errors.log").exists()
    Failures(tmp_path / "errors.log")
    assert not (tmp_path / "errors.log").exists()


def test_a_line_is_one_line() -> None:
    assert in_one_line(ValueError("a\r\n\tb")) == "ValueError: a b"
