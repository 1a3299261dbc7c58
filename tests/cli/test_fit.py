"""Where a fit goes that is given no folder, and what it says of itself without being done."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from synthcp.doctor.base import Finding
from synthcp.system.run_folder import CONFIG, usual_folder

SCENES = "scenes:?count=8&size=48x64"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tried(monkeypatch):
    """What the trial was asked, in place of one."""
    scopes = []

    def check(scope, *findings):
        scopes.append(scope)
        return [Finding("fit: time", "good", "about 5 h"), Finding("fit: disk", "bad", "about 9 GB", "make room")]

    monkeypatch.setattr("synthcp.doctor.cost.check_cost", check)
    return scopes


def test_the_usual_folder_is_the_first_that_is_free_and_the_last_one_begun_goes_on(tmp_path: Path) -> None:
    assert usual_folder(tmp_path, "street", resume=True) == tmp_path / "street"
    for taken, free in (("street", "street-2"), ("street-2", "street-3")):
        (tmp_path / taken).mkdir()
        assert usual_folder(tmp_path, "street", resume=False) == tmp_path / free
        assert usual_folder(tmp_path, "street", resume=True) == tmp_path / taken
    assert usual_folder(tmp_path, "stree", resume=False) == tmp_path / "stree"


def test_a_fit_without_a_folder_says_where_it_goes(synthcp, monkeypatch, here):
    calls = []

    def fit(*arguments, **others):
        calls.append(arguments)
        return SimpleNamespace(settings=SimpleNamespace(facts={}))

    monkeypatch.setattr("synthcp.fitting.run.fit", fit)
    (here / "runs/scenes").mkdir(parents=True)
    ended = synthcp("fit", "--data", SCENES, "--quiet")
    assert ended.stdout.splitlines() == [
        "no --out is given; the run goes to runs/scenes-2",
        "next: synthcp score IMAGES --monitor runs/scenes-2 --out out/scenes-2",
    ]
    assert calls[0][1] == Path("runs/scenes-2")


def test_a_dry_run_says_what_is_fitted_and_what_it_costs_and_writes_nothing(synthcp, tried, here):
    options = "--scale tiny --variant paper --no-controls --imperfect kfold:3 --seed 4"
    ended = synthcp("fit", "--data", SCENES, *options.split(), "--dry-run", "--quiet")
    assert ended.code == 2 and ended.stderr == [] and list(here.iterdir()) == []  # there is too little room
    assert ended.stdout.splitlines() == [
        "no --out is given; the run goes to runs/scenes",
        f"would fit M (deeplab), G (spade), F (siamese) to 8 images of {SCENES}; variant paper, scale tiny, seed 4; "
        "F learns from kfold:3 predictions; folder: runs/scenes",
        "fit: time: about 5 h",
        "fit: disk: about 9 GB; make room",
        "reckoned without --imperfect, --no-controls, so the fit may take longer or shorter",
        "nothing was written; next: the same command without --dry-run",
    ]
    (scope,) = tried
    assert (scope.data, scope.scale, scope.variant, scope.out) == (SCENES, "tiny", "paper", "runs/scenes")


def test_a_dry_run_of_what_is_reckoned_leaves_nothing_to_say(synthcp, tried):
    ended = synthcp("fit", "--data", SCENES, "--dry-run", "--quiet")
    assert not any("reckoned without" in line for line in ended.stdout.splitlines()) and len(tried) == 1


def test_a_dry_run_refuses_a_folder_that_is_taken(synthcp, tried, here):
    (here / "run").mkdir()
    (here / "run" / CONFIG).write_text("{}")
    ended = synthcp("fit", "--data", SCENES, "--out", "run", "--dry-run")
    assert (ended.code, tried) == (2, [])
    assert ended.stderr == ["error: run holds a run already; continue it with --resume or choose another folder"]


@pytest.mark.slow
def test_a_dry_run_tries_the_fit_itself(synthcp, here):
    ended = synthcp("fit", "--data", SCENES, "--scale", "tiny", "--dry-run", "--device", "cpu")
    assert ended.code == 0 and list(here.iterdir()) == []
    for told in ("fit: time: about ", "fit: disk: about "):
        assert sum(line.startswith(told) for line in ended.stdout.splitlines()) == 1
