from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from synthcp.config.scales import SCALES
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.prepared import Prepared
from synthcp.doctor import cost as module
from synthcp.doctor.cost import check_cost, duration, images_in_memory, stage_seconds, views
from synthcp.doctor.trial import Cost, Wish
from synthcp.errors import InputError

SMALL = SCALES["small"]
COST = Cost(
    {
        "read": 0.01,
        "segmenter": 0.5,
        "generator": 2.0,
        "fold0 early0.7 predictions": 0.2,
        "fold1 last predictions": 0.3,
        "comparator": 0.6,
        "direct": 0.4,
        "untrained": 0.7,
    },
    memory=1_000_000_000,
    gpu_memory=0,
    prediction=2_000_000,
)
SCENES = Scenes(ScenesConfig(count=200, height=48, width=64))
WISH = Wish("scenes:?size=48x64")


@pytest.fixture
def cost_of(monkeypatch, tmp_path):
    """Findings by name, of a trial that ends as planted."""

    def plant(code=0, stdout="", stderr="", wish=WISH, dataset=SCENES, memory=8e9, disk=9e9):
        def run(command, **options):
            assert json.loads(options["input"]) == asdict(wish) and command[1:] == ["-m", "synthcp.doctor.trial"]
            return subprocess.CompletedProcess(command, code, stdout, stderr)

        monkeypatch.setattr(subprocess, "run", run)
        monkeypatch.setattr(module, "free_memory", lambda: memory)
        monkeypatch.setattr(module, "free_disk", lambda out: disk)
        return {finding.name: finding for finding in check_cost(wish, dataset, tmp_path)}

    return plant


def told(cost):
    return f"a line of the library\n{json.dumps(asdict(cost))}\n"


def test_the_time_is_steps_times_seconds():
    stages = stage_seconds(COST, SMALL, images=200, built_in=True)
    assert stages == {
        "M": pytest.approx(900 * 0.5),
        "G": pytest.approx(700 * 2.0),
        "imperfect predictions": pytest.approx(200 * (0.01 + 2 * 0.3) + 4 * 0.4 * 900 * 0.5),
        "F and controls": pytest.approx(600 * (0.6 + 0.4 + 0.7)),
    }


def test_a_model_that_is_brought_is_not_trained_and_predicts_once():
    step = {"read": 0.01, "generator": 2.0, "predictions": 0.3, "comparator": 0.6, "direct": 0.4, "untrained": 0.7}
    stages = stage_seconds(replace(COST, seconds=step), SMALL, images=200, built_in=False)
    assert list(stages) == ["G", "imperfect predictions", "F and controls"]
    assert stages["imperfect predictions"] == pytest.approx(200 * 0.31)
    assert (views(SMALL, built_in=False), views(SMALL, built_in=True)) == (1, 2)
    assert views(replace(SMALL, degraded_views=3), built_in=True) == 5


def test_images_in_memory_are_those_that_a_fit_holds():
    few = Scenes(ScenesConfig(count=3, height=48, width=64))
    prepared = Prepared(few, SMALL.side)
    held = sum(part.nbytes for sample in prepared._samples for part in (sample.image, sample.label_map))
    assert images_in_memory(few, SMALL) == held == 3 * 4 * 144 * 192


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7.4, "7 s"), (119, "119 s"), (121, "2 min"), (3600, "60 min"), (9000, "2.5 h"), (6e5, "7 days")],
)
def test_durations_are_said_as_people_do(seconds, text):
    assert duration(seconds) == text


def test_a_fit_that_fits(cost_of):
    found = cost_of(stdout=told(COST))
    assert {finding.state for finding in found.values()} == {"good"}
    assert (
        found["fit: time"].what
        == "about 62 min: M 8 min, G 23 min, imperfect predictions 14 min, F and controls 17 min"
    )
    assert found["fit: memory"].what == "about 1.0 GB; 8.0 GB are free"
    assert found["fit: disk"].what == "about 800 MB; 9.0 GB are free"  # 200 images, 2 views, 2 MB


def test_a_fit_that_needs_more_than_there_is(cost_of):
    found = cost_of(stdout=told(replace(COST, gpu_memory=3 * 10**9)), memory=9e8, disk=7e8)
    assert (found["fit: memory"].state, found["fit: disk"].state) == ("bad", "bad")
    assert found["fit: GPU"].what == "about 3.0 GB of its memory"


def test_days_of_work_are_noted(cost_of):
    slow = replace(COST, seconds={stage: 100 * seconds for stage, seconds in COST.seconds.items()})
    assert cost_of(stdout=told(slow))["fit: time"].state == "note"


def test_unknown_memory_is_no_flaw(cost_of):
    assert cost_of(stdout=told(replace(COST, memory=None)))["fit: memory"].what == "unknown on this system"
    assert cost_of(stdout=told(COST), memory=None)["fit: memory"].what == "about 1.0 GB"


@pytest.mark.parametrize(
    ("code", "stderr", "what", "remedy"),
    [
        (-9, "", "the trial was killed by signal 9", "is there enough memory?"),
        (1, "Warning: x\nno model here; bring one\n", "no model here", "bring one"),
        (1, "Traceback\n  File\nRuntimeError: boom\n", "RuntimeError: boom", ""),
    ],
)
def test_a_trial_that_fails_is_one_line(cost_of, code, stderr, what, remedy):
    found = cost_of(code, stderr=stderr)["fit"]
    assert (found.state, found.what, found.remedy) == ("bad", what, remedy)


def test_a_trial_without_end_is_bad(monkeypatch, tmp_path):
    def endless(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", endless)
    (finding,) = check_cost(WISH, SCENES, tmp_path)
    assert finding.state == "bad" and finding.what == "a few steps took more than 10 min"


def test_too_few_images_are_not_tried(tmp_path):
    (finding,) = check_cost(WISH, Scenes(ScenesConfig(count=3, height=48, width=64)), tmp_path)
    assert finding.state == "note"


def test_an_unknown_scale_is_an_error():
    with pytest.raises(InputError, match="scale 'big' is unknown"):
        check_cost(replace(WISH, scale="big"), SCENES, Path())
