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

from synthcp.doctor import trial
from synthcp.doctor.trial import Clock, Cost, Wish, peak_memory, run_trial
from synthcp.errors import DataError
from synthcp.fitting.heads import CONTROLS
from synthcp.segmentation.settings import ModelSettings
from synthcp.segmentation.specs import OpenedModel

WISH = Wish("scenes:?count=9&size=48x64", scale="tiny", device="cpu")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)  # it would outlive the test


@pytest.fixture
def time(monkeypatch):
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(trial.time, "perf_counter", lambda: now[0])
    return now


def test_the_clock_takes_the_fastest_step_but_the_first(time, tmp_path):
    clock = Clock(tmp_path)
    for stage, step, at in [("a", 1, 5.0), ("a", 2, 7.0), ("a", 3, 8.5), ("b", 1, 8.6), ("b", 2, 12.0)]:
        time[0] = at
        clock(stage, step, 3, {})
    assert clock.seconds == {"a": 1.5, "b": pytest.approx(3.4)}


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
    cost = run_trial(WISH)
    stages = {"read", "segmenter", "generator", "comparator", *CONTROLS}
    assert stages <= set(cost.seconds) and any(stage.endswith("predictions") for stage in cost.seconds)
    assert all(0 < seconds < 60 for seconds in cost.seconds.values()) and cost.gpu_memory == 0
    # logits, presence at four layers; of G and of the control a drawing and five disagreements
    pixels = 48 * 64 * (9 * 2 + 4 * 2 + 2 * (3 + 5 * 2))
    assert pixels < cost.prediction < 1.1 * pixels


def test_a_model_that_is_brought_is_tried_on_images_held_out(monkeypatch, monitor):
    given = []

    def opened(model, classes, probe, features):
        given.append((model, features))
        return OpenedModel(monitor.segmenter, ModelSettings("file.py:factory", layers=4))

    monkeypatch.setattr("synthcp.fitting.run.open_model", opened)
    cost = run_trial(replace(WISH, model="file.py:factory", features="head"))
    assert given == [("file.py:factory", "head")]
    assert "segmenter" not in cost.seconds and {"predictions", "generator", "comparator"} <= set(cost.seconds)


def test_the_program_reads_a_wish_and_prints_a_cost(monkeypatch, capsys):
    cost = Cost({"generator": 0.25}, 5, 6, 7)
    monkeypatch.setattr(trial, "run_trial", lambda wish: cost if wish == WISH else None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asdict(WISH))))
    trial.main()
    assert Cost(**json.loads(capsys.readouterr().out)) == cost


def test_the_program_ends_with_one_line(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asdict(replace(WISH, scale="big")))))
    with pytest.raises(SystemExit, match="scale 'big' is unknown"):
        trial.main()


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="Linux tells the peak of a process")
def test_the_peak_is_of_this_process_alone():
    """A large caller does not count; memory that was given back does."""
    ballast = bytearray(500_000_000)
    source = (
        "from synthcp.doctor.trial import peak_memory\nfirst = peak_memory()\n"
        "block = bytearray(200_000_000)\ndel block\nprint(first, peak_memory())"
    )
    answer = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    first, second = map(int, answer.stdout.split())
    assert second - first == pytest.approx(200_000_000, rel=0.1)
    assert len(ballast) < peak_memory()


def test_the_peak_is_unknown_on_other_systems(monkeypatch, tmp_path):
    monkeypatch.setattr(trial, "_STATUS", tmp_path / "none")
    assert peak_memory() is None


def test_images_without_labels_are_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "classes.json").write_text('{"names": ["sky", "road"]}')
    for name in ("a", "b"):
        Image.new("RGB", (64, 48)).save(tmp_path / "images" / f"{name}.png")
    with pytest.raises(DataError, match="a has no label map"):
        run_trial(replace(WISH, data=f"folder:{tmp_path}"))
