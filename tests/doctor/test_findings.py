from __future__ import annotations

from synthcp.doctor.findings import Finding, attempt, trouble
from synthcp.errors import DataError


def test_an_error_of_ours_is_parted_into_what_and_remedy():
    error = DataError("a.png is empty; files hold pixels; write it again")
    assert trouble("image a", error) == Finding("image a", "bad", "a.png is empty; files hold pixels", "write it again")


def test_an_error_without_a_remedy_is_told_whole():
    assert trouble("data", OSError(13, "Permission denied")) == Finding("data", "bad", "[Errno 13] Permission denied")


def test_an_error_of_others_is_one_line_with_its_kind():
    assert trouble("model", RuntimeError("size\n  3; not 4"), "note").what == "RuntimeError: size 3; not 4"
    assert trouble("model", AssertionError()).what == "AssertionError"


def test_a_check_that_fails_is_a_finding():
    assert attempt("a", lambda: [Finding("a", "good", "fine")]) == [Finding("a", "good", "fine")]
    assert attempt("a", lambda: [][1]) == [Finding("a", "bad", "IndexError: list index out of range")]
