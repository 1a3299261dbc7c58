"""A monitor's folder, perhaps somebody else's, runs no code and asks no network unless its user says so."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest
import torch

from synthcp.errors import InputError
from synthcp.monitor.monitor import Monitor

CODE = """
from pathlib import Path

import torch

Path(__file__).with_name("ran").touch()


def load():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 9, 1))
"""


@pytest.fixture
def received(run_folder: Path, tmp_path: Path):
    """Return the folder of a monitor that names a model."""

    def receive(spec: str, features: str = "") -> Path:
        run = shutil.copytree(run_folder, tmp_path / "run", dirs_exist_ok=True)
        content = json.loads((run / "monitor.json").read_text())
        content["model"] |= {"spec": spec, "features": features, "fingerprint": ""}
        (run / "monitor.json").write_text(json.dumps(content))
        return run

    return receive


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path / "mine.py"


@pytest.mark.parametrize("spec", ["code:interact", "os:abort", "http.server:test", "mine:load"])
def test_a_function_that_a_monitor_names_is_not_called(spec, received, mine, monkeypatch, fails):
    monkeypatch.syspath_prepend(mine.parent)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # of another test
    name, _, function = spec.partition(":")
    with fails(f"the monitor's M is {spec}: {function} of {name} would be run", "--trust-code", "trust_code=True"):
        Monitor.load(received(spec), "cpu")
    assert not (mine.parent / "ran").exists() and "mine" not in sys.modules


def test_a_file_is_run_only_when_it_is_trusted(received, mine, fails):
    run = received(f"{mine}:load?mean=0.1,0.2,0.3")
    with fails(f"load of {mine} would be run"):
        Monitor.load(run, "cpu")
    assert not (mine.parent / "ran").exists()
    with pytest.raises(InputError, match="weights of .* have changed"):  # it was run, and is not the M of the fit
        Monitor.load(run, "cpu", trust_code=True)
    assert (mine.parent / "ran").exists()


def test_a_model_that_the_user_names_is_his_own_word(received, mine, fails):
    with fails("the monitor was fitted with an M that shows 4 feature maps"):  # it was opened
        Monitor.load(received("code:interact"), "cpu", model=f"{mine}:load")
    assert (mine.parent / "ran").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "IMAGES", "--out", "OUT"],
        ["eval", "--data", "scenes:?count=3&size=48x64", "--out", "OUT"],
        ["calibrate", "--data", "scenes:?count=3&size=48x64"],
        ["audit", "--data", "scenes:?count=3&size=48x64", "--out", "OUT"],
    ],
)
def test_every_verb_that_loads_a_monitor_has_the_flag(arguments, synthcp, received, mine, tmp_path):
    (tmp_path / "images").mkdir()
    places = {"IMAGES": tmp_path / "images", "OUT": tmp_path / "out"}
    command = [places.get(argument, argument) for argument in arguments]
    command += ["--monitor", received(f"{mine}:load"), "--device", "cpu"]
    ended = synthcp(*command)
    assert ended.code == 2 and len(ended.stderr) == 1 and "--trust-code" in ended.stderr[0]
    assert not (mine.parent / "ran").exists()
    ended = synthcp(*command, "--trust-code")
    assert ended.code == 2 and "have changed since the fit" in ended.stderr[-1] and (mine.parent / "ran").exists()


def test_the_doctor_has_the_flag(synthcp, received, mine):
    run = received(f"{mine}:load")
    refused = synthcp("doctor", "--monitor", run, "--device", "cpu", "--json").stdout.splitlines()
    found = {finding["name"]: finding for finding in map(json.loads, refused)}
    assert "would be run" in found["weights"]["what"] and not (mine.parent / "ran").exists()
    trusted = synthcp("doctor", "--monitor", run, "--device", "cpu", "--json", "--trust-code").stdout.splitlines()
    assert "have changed" in {found["name"]: found for found in map(json.loads, trusted)}["weights"]["what"]


def test_a_repository_is_not_asked_for(received, monkeypatch, fails):
    calls = []
    monkeypatch.setattr(socket.socket, "connect", lambda *given: calls.append(given))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **others: calls.append(given) or [])
    with fails("hf:someone/model-that-is-nowhere cannot be opened", "say where it is: --model SPEC"):
        Monitor.load(received("hf:someone/model-that-is-nowhere"), "cpu")
    assert not calls


def test_a_folder_of_transformers_with_code_of_its_own_is_never_run(received, tmp_path, monkeypatch, fails):
    from safetensors.torch import save_file

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModelForSemanticSegmentation": "evil.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    for trusted in (False, True):
        with fails("is made of Python code of its own (auto_map in its config.json), which is never run"):
            Monitor.load(received(f"hf:{folder}"), "cpu", trust_code=trusted)
    assert not (tmp_path / "ran").exists()
