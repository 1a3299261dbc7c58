from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from synthcp.config.values import to_dict
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.doctor import monitor as module
from synthcp.doctor.base import Scope
from synthcp.doctor.monitor import facts, weights
from synthcp.errors import InputError
from synthcp.monitor.promise import Promise
from synthcp.monitor.settings import load_settings
from synthcp.system.files import save_json
from synthcp.verbs.calibrate import calibrate


@pytest.fixture
def run(run_folder, tmp_path):
    """A run that may be written to."""
    return shutil.copytree(run_folder, tmp_path / "run")


def told(run):
    return list(facts(Scope(monitor=str(run))))


def test_a_sound_monitor(run_folder):
    identity, fitted, calibration = told(run_folder)
    (opened,) = weights(Scope(monitor=str(run_folder), device="cpu"))
    assert {identity.state, fitted.state, opened.state} == {"good"}
    assert (calibration.state, calibration.what) == ("note", "none, so nothing is promised")
    assert identity.what == "model deeplab, variant ours, scale own, seed 0; 9 classes, 3 channels, 12 images"
    assert fitted.what.startswith("synthcp ") and fitted.what.endswith(", as here")
    assert opened.what == "M, G and F open on cpu"


def test_other_versions_are_noted(run):
    content = json.loads((run / "monitor.json").read_text())
    content["facts"]["versions"] = "synthcp 0.0.1, torch 2.6.0, python 3.99.1"
    content["facts"]["data"] = "camvid:data"
    (run / "monitor.json").write_text(json.dumps(content))
    identity, fitted, _ = told(run)
    assert "data camvid:data" in identity.what
    assert fitted.state == "note" and fitted.what.startswith("synthcp 0.0.1, torch 2.6.0, python 3.99.1; here synthcp ")
    assert f"torch {module.versions()['torch']}" in fitted.what


def test_unknown_versions_are_noted(run_folder, monkeypatch):
    bare = replace(load_settings(run_folder), facts={})
    monkeypatch.setattr(module, "load_settings", lambda run: bare)
    identity, fitted, _ = told(run_folder)
    assert fitted.state == "note" and identity.what.startswith("model deeplab; ")


def test_a_calibration_is_told(run):
    scenes = Scenes(ScenesConfig(count=14, height=48, width=64, split="val"))
    promise = Promise(alpha=0.3, delta=0.2, floor=0.05, area=0.1)
    made = calibrate(run, scenes, promise=promise, facts={"data": "some scenes"})
    finding = told(run)[2]
    assert finding.state == "good"
    assert finding.what == f"{made.created[:10]}, 14 images of some scenes; at most 30% of intervals miss"
    other = replace(load_settings(run), calibration=replace(made, model="onnx:other.onnx"))
    save_json(run / "monitor.json", to_dict(other))
    finding = told(run)[2]
    assert finding.state == "note" and finding.what.endswith("14 images of some scenes, but of onnx:other.onnx")


def test_weights_that_do_not_open_are_an_error(run):
    (run / "generator.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"generator\.safetensors"):
        list(weights(Scope(monitor=str(run), device="cpu")))
    with pytest.raises(InputError, match="holds no finished monitor"):
        told(run.parent)
