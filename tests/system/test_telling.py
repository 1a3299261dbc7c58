from __future__ import annotations

import logging
import warnings

import pytest

from synthcp.system.telling import tell, told_as_notes


def test_what_is_told_is_a_note_once(capsys: pytest.CaptureFixture[str]) -> None:
    with told_as_notes():
        for line in ("a\x1b[31m\n", "b", "a\x1b[31m\n"):
            tell(line)
    assert capsys.readouterr().err.splitlines() == [r"note: a\x1b[31m\n", "note: b"]
    assert not logging.getLogger("synthcp").handlers


def test_a_warning_of_a_library_is_one_note(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    with told_as_notes():
        warnings.simplefilter("always")
        warnings.warn("two\nlines", RuntimeWarning, stacklevel=1)
    assert capsys.readouterr().err.splitlines() == ["note: RuntimeWarning: two lines"]
    assert warnings.showwarning is before
