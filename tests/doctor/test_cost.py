from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from synthcp.config.scales import SCALES
from synthcp.config.variants import VARIANTS
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.working_size import Prepared
from synthcp.doctor import cost as module
from synthcp.doctor.base import Scope
from synthcp.doctor.cost import (
    Clock,
    Cost,
    check_cost,
    duration,
    images_in_memory,
    peak_memory,
    stage_seconds,
    try_fit,
    views,
)
from synthcp.errors import DataError
from synthcp.fitting.heads import CONTROLS
from synthcp.segmentation.settings import ModelSettings
from synthcp.segmentation.specs import OpenedModel

SMALL = SCALES["small"]
STEPS = {"segmenter": 0.5, "generator": 2.0, "comparator": 0.6, "direct": 0.4, "untrained": 0.7}
COST = Cost(STEPS, image=0.3, memory=1_000_000_000, gpu_memory=0, prediction=2_000_000)
SCENES = "scenes:?count=200&size=48x64"
TINY = Scope("scenes:?count=9&size=48x64", scale="tiny", device="cpu", fit=True)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)  # it would outlive the test


@pytest.fixture
def cost_of(monkeypatch, tmp_path):
    """Findings by name, of a trial that ends as planted."""
    scope = Scope(SCENES, fit=True, out=str(tmp_path))

    def plant(code=0, stdout="", stderr="", memory=8e9, disk=9e9):
        def run(command, **options):
            assert Scope(**json.loads(options["input"])) == scope and command[1:] == ["-m", "synthcp.doctor.cost"]
            return subprocess.CompletedProcess(command, code, stdout, stderr)

        monkeypatch.setattr(subprocess, "run", run)
        monkeypatch.setattr(module, "free_memory", lambda: memory)
        monkeypatch.setattr(module, "free_disk", lambda out: disk)
        return {finding.name: finding for finding in check_cost(scope)}

    return plant


def told(cost):
    return f"a line of the library\n{json.dumps(asdict(cost))}\n"


def test_the_time_is_steps_times_seconds():
    stages = stage_seconds(COST, SMALL, images=200, fits_model=True)
    assert stages == {
        "M": pytest.approx(900 * 0.5),
        "G": pytest.approx(700 * 2.0),
        "imperfect predictions": pytest.approx(200 * (1 + 2) * 0.3 + 4 * 0.4 * 900 * 0.5),
        "F and controls": pytest.approx(600 * (0.6 + 0.4 + 0.7)),
    }


def test_a_model_that_is_brought_is_not_trained_and_predicts_once():
    steps = {name: seconds for name, seconds in STEPS.items() if name != "segmenter"}
    stages = stage_seconds(replace(COST, step=steps), SMALL, images=200, fits_model=False)
    assert list(stages) == ["G", "imperfect predictions", "F and controls"]
    assert stages["imperfect predictions"] == pytest.approx(200 * 2 * 0.3)
    assert (views(SMALL, fits_model=False), views(SMALL, fits_model=True)) == (1, 2)
    assert views(replace(SMALL, degraded_views=3), fits_model=True) == 5


def test_images_in_memory_are_those_that_a_fit_holds():
    few = Scenes(ScenesConfig(count=3, height=48, width=64))
    prepared = Prepared(few, SMALL.side)
    held = sum(part.nbytes for sample in prepared._samples for part in (sample.image, sample.label_map))
    assert images_in_memory(few, SMALL) == held == 3 * 4 * 144 * 192


def test_the_variant_and_the_settings_of_a_file_are_reckoned_with(tmp_path):
    config = tmp_path / "own.json"
    config.write_text('{"scale": {"gan": {"steps": 7}}, "variant": {"fold_seeds": 3}}')
    variant, scale = module._chosen(replace(TINY, variant="paper", config=str(config)))
    assert (variant, scale) == (
        replace(VARIANTS["paper"], fold_seeds=3),
        replace(SCALES["tiny"], gan=replace(SCALES["tiny"].gan, steps=7)),
    )
    folds = 3 * scale.folds * scale.fold_steps * scale.segmentation.steps * 0.5
    stages = stage_seconds(COST, scale, 10, fits_model=True, variant=variant)
    assert stages["G"] == pytest.approx(7 * 2.0)
    assert stages["imperfect predictions"] == pytest.approx(10 * (1 + 3 * (1 + scale.degraded_views)) * 0.3 + folds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7.4, "7 s"), (119, "119 s"), (121, "2 min"), (3600, "60 min"), (9000, "2.5 h"), (6e5, "7 days")],
)
def test_durations_are_said_as_people_do(seconds, text):
    assert duration(seconds) == text


def test_a_fit_that_fits(cost_of):
    found = cost_of(stdout=told(COST))
    assert {finding.state for finding in found.values()} == {"good"}
    times = "M 8 min, G 23 min, imperfect predictions 15 min, F and controls 17 min"
    assert found["fit: time"].what == f"about 63 min: {times}"
    assert found["fit: memory"].what == "about 1.0 GB; 8.0 GB are free"
    assert found["fit: disk"].what == "about 800 MB; 9.0 GB are free"  # 200 images, 2 views, 2 MB


def test_a_fit_that_needs_more_than_there_is(cost_of):
    slow = {stage: 100 * seconds for stage, seconds in STEPS.items()}
    found = cost_of(stdout=told(replace(COST, step=slow, gpu_memory=3 * 10**9)), memory=9e8, disk=7e8)
    assert [found[f"fit: {name}"].state for name in ("time", "memory", "disk")] == ["note", "bad", "bad"]
    assert found["fit: GPU"].what == "about 3.0 GB of its memory"


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


def test_a_trial_without_end_is_bad(monkeypatch):
    def endless(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", endless)
    (finding,) = check_cost(TINY)
    assert finding.state == "bad" and finding.what == "a few steps took more than 10 min"


def test_too_few_images_are_not_tried():
    (finding,) = check_cost(replace(TINY, data="scenes:?count=3&size=48x64"))
    assert finding.state == "note"


def test_the_clock_takes_the_fastest_step_but_the_first(monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    clock = Clock(tmp_path)
    for stage, step, at in [("a", 1, 5.0), ("a", 2, 7.0), ("a", 3, 8.5), ("b", 1, 8.6), ("b", 2, 12.0)]:
        now[0] = at
        clock(stage, step, 3, {"l1": 0.5} if stage == "a" else {})
    assert (clock.step, clock.passes) == ({"a": 1.5}, {"b": pytest.approx(3.4)})


def test_the_clock_sees_the_largest_prediction(tmp_path):
    clock = Clock(tmp_path)
    (tmp_path / "imperfect").mkdir()
    (tmp_path / "imperfect" / "last-000000.safetensors").write_bytes(bytes(70))
    (tmp_path / "imperfect" / "last-000001.safetensors").write_bytes(bytes(90))
    clock("fold0 last predictions", 1, 2, {})
    (tmp_path / "imperfect" / "last-000001.safetensors").unlink()  # as at the end of a fit
    clock("comparator", 1, 2, {})
    assert clock.prediction == 90


def test_a_trial_times_every_stage_of_a_fit():
    cost = try_fit(TINY)
    assert {"segmenter", "generator", "comparator", *CONTROLS} <= set(cost.step)
    assert all(0 < seconds < 60 for seconds in (*cost.step.values(), cost.image)) and cost.gpu_memory == 0
    # logits, objectness at four layers; of G and of the control an image and five feature distances
    pixels = 48 * 64 * (9 * 2 + 4 * 2 + 2 * (3 + 5 * 2))
    assert pixels < cost.prediction < 1.1 * pixels


def test_a_model_that_is_brought_is_tried_on_images_held_out(monkeypatch, monitor):
    given = []

    def opened(model, classes, probe, features):
        given.append((model, features))
        return OpenedModel(monitor.segmenter, ModelSettings("file.py:factory", layers=4))

    monkeypatch.setattr("synthcp.fitting.run.open_model", opened)
    cost = try_fit(replace(TINY, model="file.py:factory", features="head"))
    assert given == [("file.py:factory", "head")] and cost.image > 0
    assert "segmenter" not in cost.step and {"generator", "comparator"} <= set(cost.step)


@pytest.mark.parametrize(("changes", "code"), [({}, 0), ({"data": "nothing:here"}, 1)])
def test_the_program_reads_a_scope_and_prints_a_cost_or_one_line(monkeypatch, capsys, changes, code):
    def tried(scope):
        assert scope == replace(TINY, **changes)
        return COST if len(scope.dataset) == 9 else None

    monkeypatch.setattr(module, "try_fit", tried)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asdict(TINY) | changes)))
    if code:
        with pytest.raises(SystemExit, match="no data set kind 'nothing'"):
            module.main()
    else:
        module.main()
        assert Cost(**json.loads(capsys.readouterr().out)) == COST


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="Linux tells the peak of a process")
def test_the_peak_is_of_this_process_alone():
    """A large caller does not count; memory that was given back does."""
    ballast = bytearray(500_000_000)
    source = (
        "from synthcp.doctor.cost import peak_memory\nfirst = peak_memory()\n"
        "block = bytearray(200_000_000)\ndel block\nprint(first, peak_memory())"
    )
    answer = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    first, second = map(int, answer.stdout.split())
    assert second - first == pytest.approx(200_000_000, rel=0.1)
    assert len(ballast) < peak_memory()


def test_the_peak_is_unknown_on_other_systems(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_STATUS", tmp_path / "none")
    assert peak_memory() is None


def test_images_without_labels_are_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "classes.json").write_text('{"names": ["sky", "road"]}')
    for name in ("a", "b"):
        Image.new("RGB", (64, 48)).save(tmp_path / "images" / f"{name}.png")
    with pytest.raises(DataError, match="a has no label map"):
        try_fit(replace(TINY, data=f"folder:{tmp_path}"))
