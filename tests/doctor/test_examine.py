from __future__ import annotations

import pytest

from synthcp.doctor import examine as module
from synthcp.doctor.base import Finding, Scope, attempt, trouble
from synthcp.doctor.examine import CHECKS, examine
from synthcp.errors import DataError, InputError

SCENES = "scenes:?count=5&size=48x64"
EVERYTHING = Scope(SCENES, model="preds:DIR", monitor="run", fit=True, scale="tiny")


@pytest.fixture(autouse=True)
def given(monkeypatch):
    """The scope that each group of checks, in its place, was given."""
    given = {}

    def planted(group):
        def check(scope):
            given[group] = scope
            return [Finding(group, "good", "planted")]

        return check

    monkeypatch.setattr(module, "CHECKS", {group: {"a": planted(group)} for group in CHECKS})
    return given


def test_libraries_and_machine_are_always_checked(given):
    scope = Scope(out="there")
    assert list(dict(examine(scope))) == ["Libraries", "Machine"] and given == {"Libraries": scope, "Machine": scope}


def test_everything_that_is_asked_for_is_checked(given):
    assert list(dict(examine(EVERYTHING))) == [
        "Libraries", "Machine", f"Data {SCENES}", "Model preds:DIR", "Fit of scale tiny", "Monitor run",
    ]  # fmt: skip
    assert list(given) == list(CHECKS) and all(scope is EVERYTHING for scope in given.values())
    assert len(EVERYTHING.dataset) == 5 and EVERYTHING.dataset is EVERYTHING.dataset


def test_the_built_in_model_is_not_tried(given):
    list(examine(Scope(SCENES)))
    assert list(given) == ["Libraries", "Machine", "Data"]


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(monkeypatch):
    def breaks(scope):
        yield Finding("first", "good", "fine")
        raise RuntimeError("size\n  3; not 4")

    checks = {"broken": breaks, "sound": lambda scope: [Finding("sound", "good", "fine")]}
    monkeypatch.setattr(module, "CHECKS", {"Machine": checks})
    ((_, findings),) = examine(Scope())
    assert findings == [
        Finding("first", "good", "fine"),
        Finding("broken", "bad", "RuntimeError: size 3; not 4"),
        Finding("sound", "good", "fine"),
    ]


def test_data_that_does_not_open_is_a_finding(tmp_path):
    (finding,) = attempt("data", lambda scope: [scope.dataset], Scope(f"folder:{tmp_path}/none"))
    assert finding.state == "bad" and "no such folder" in finding.what


@pytest.mark.parametrize(
    ("error", "what", "remedy"),
    [
        (DataError("a is empty; files hold pixels; write it again"), "a is empty; files hold pixels", "write it again"),
        (OSError(13, "Permission denied"), "[Errno 13] Permission denied", ""),
        (AssertionError(), "AssertionError", ""),
    ],
)
def test_an_error_is_parted_into_what_and_remedy(error, what, remedy):
    assert trouble("a", error, "note") == Finding("a", "note", what, remedy)


@pytest.mark.parametrize(
    ("options", "what"),
    [({"model": "preds:DIR"}, "add --data SPEC"), ({"fit": True}, "add --data SPEC"), ({"scale": "big"}, "'big'")],
)
def test_what_cannot_be_asked(options, what):
    with pytest.raises(InputError, match=what):
        Scope(**options)
