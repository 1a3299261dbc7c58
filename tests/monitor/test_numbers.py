"""A monitor whose numbers are broken says so, and whose they are; it never says that all is well."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from synthcp.cli.exit_codes import BAD_INPUT
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.errors import DataError, InputError, WeightsError
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.thresholds import Thresholds
from synthcp.records import Detection, Prediction
from synthcp.report.pictures import image_picture
from synthcp.report.rows import read_rows
from synthcp.verbs.audit.case import case_of
from synthcp.verbs.calibrate import calibrate
from synthcp.verbs.evaluate import evaluate
from synthcp.verbs.score import score

PARTS = {"M": "segmenter", "G": "generator", "F": "network"}
BROKEN = [math.nan, math.inf, -math.inf]


@pytest.fixture(scope="module")
def scenes():
    return Scenes(ScenesConfig(count=3, height=48, width=64, split="test"))


def broken(monitor, part, value):
    """A monitor of which one weight of one network is broken in memory."""
    networks = {name: copy.deepcopy(getattr(monitor, name)) for name in PARTS.values()}
    with torch.no_grad():
        last = [weight for weight in networks[PARTS[part]].parameters() if weight.ndim > 1][-1]
        last[(-1,) * last.ndim] = value
    other = Monitor(monitor.settings, *networks.values(), monitor.runtime)
    other.folder = monitor.folder
    return other


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("part", PARTS)
def test_it_is_said_which_network_gave_it(monitor, scenes, part, value, fails):
    with fails(f"{part} gave", "NaN or infinite", "restore its weights or fit again", error=DataError):
        broken(monitor, part, value).assess(scenes[0].image)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("verb", [score, evaluate, calibrate])
def test_no_verb_passes_it_over(monitor, scenes, tmp_path, part, verb, fails):
    wrong = broken(monitor, part, math.nan)
    with fails(f"{part} gave", error=DataError):
        if verb is score:
            for scene in scenes:
                image_picture(scene.image).save(tmp_path / f"{scene.id}.png")
            score(wrong, tmp_path, tmp_path / "out")
        elif verb is evaluate:
            evaluate(wrong, scenes, tmp_path, detectors=["synthcp"])
        else:
            calibrate(wrong, Scenes(ScenesConfig(count=99, height=48, width=64, split="test")))


@pytest.mark.parametrize("part", "MG")
def test_an_audit_does_not_either(monitor, scenes, part, fails):
    with fails(f"{part} gave", error=DataError):
        case_of(broken(monitor, part, math.nan), scenes[0]).synthesis_of_given  # noqa: B018


def test_an_image_that_breaks_a_network_is_an_error_of_that_image(monitor, scenes, tmp_path, monkeypatch):
    for scene in scenes:
        image_picture(scene.image).save(tmp_path / f"{scene.id}.png")
    judged = monitor.network.judged
    calls = []

    def overflows_once(evidence):
        said = judged(evidence)
        calls.append(0)
        return said._replace(error_log_odds=said.error_log_odds + math.inf) if len(calls) == 2 else said

    monkeypatch.setattr(monitor.network, "judged", overflows_once)
    rows = score(monitor, tmp_path, tmp_path / "out")
    assert [row.status for row in rows] == [row.status for row in read_rows(tmp_path / "out")] == ["ok", "error", "ok"]
    assert "F gave 1376 of 1376 values" in rows[1].message and not rows[1].alarms and not rows[1].decision
    assert all(math.isfinite(row.error_share) for row in (rows[0], rows[2]))


@pytest.mark.parametrize("value", [*BROKEN, 1e30, -1e30])
@pytest.mark.parametrize("name", ["segmenter", "generator", "comparator"])
def test_weights_are_checked_when_they_are_read(monitor, tmp_path, synthcp, name, value, fails):
    monitor.save(tmp_path / "run")
    path = tmp_path / "run" / f"{name}.safetensors"
    tensors = load_file(path)
    key = next(key for key in sorted(tensors) if tensors[key].is_floating_point() and tensors[key].ndim > 1)
    tensors[key].view(-1)[0] = value
    save_file(tensors, path)
    said = (f"{name}.safetensors holds 1 numbers in {key}", "NaN, infinite or beyond 1e+18", "restore them or fit")
    with fails(*said, error=WeightsError):
        Monitor.load(tmp_path / "run", "cpu")
    image_picture(Scenes(ScenesConfig(count=1))[0].image).save(tmp_path / "a.png")
    ended = synthcp("score", tmp_path / "run", tmp_path / "a.png", "--out", tmp_path / "out")
    assert ended.code == BAD_INPUT and len([line for line in ended.stderr if line.strip()]) == 1


@pytest.mark.parametrize("part", ["error_map", "anomaly_map", "class_quality", "synthesis"])
def test_an_assessment_of_broken_parts_is_refused(monitor, scenes, part, fails):
    prediction, detection = monitor.detect(scenes[0].image[None])
    found: Detection = replace(detection, **{part: getattr(detection, part) * math.nan})
    with fails("G gave" if part == "synthesis" else "F gave", error=DataError):
        monitor.assessment(prediction, found, (48, 64))


def test_a_broken_prediction_that_is_brought_along_is_refused(monitor, scenes, fails):
    prediction = monitor.predict(scenes[0].image[None])
    with fails("M gave", error=DataError):
        monitor.assess(scenes[0].image, prediction=Prediction(prediction.logits + math.inf))


@pytest.mark.parametrize("field", ["error_share", "anomaly", "anomaly_share", "class_quality"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_threshold_that_is_no_number_is_refused(field, value, fails):
    """Nothing is larger than NaN: such a monitor would never alarm."""
    with fails(f"{field} of Thresholds is {value}", "it must lie in", error=InputError):
        replace(Thresholds(), **{field: (0.5, value) if field == "class_quality" else value})
