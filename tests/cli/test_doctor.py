from __future__ import annotations

import json

import pytest

from synthcp.doctor import examine, machine
from synthcp.doctor.base import Finding

SCENES = "scenes:?count=4&size=48x64"


@pytest.fixture
def doctor(synthcp, monkeypatch, tmp_path):
    """Call the verb on a machine whose speed is not measured, in a wide terminal."""
    monkeypatch.setattr(machine, "bf16_gain", lambda device: 1.0)
    monkeypatch.setattr(machine, "step_seconds", lambda runtime: 1.0)
    monkeypatch.setenv("COLUMNS", "400")
    return lambda *options: synthcp("doctor", "--out", tmp_path, "--device", "cpu", *options)


@pytest.fixture
def planted(monkeypatch):
    """Plant the state of one finding."""

    def plant(state):
        finding = Finding("planted", state, 'a line with "[hf]" in it', 'pip install "synthcp[hf]"')
        monkeypatch.setitem(examine.CHECKS, "Libraries", {"planted": lambda scope: [finding]})

    return plant


def test_every_finding_is_one_line(doctor, run_folder):
    ended = doctor("--data", SCENES, "--monitor", run_folder)
    assert (ended.code, ended.stderr) == (0, [])
    lines = ended.stdout.splitlines()
    for name in ("libraries", "threads", "class sky", "split val", "weights"):
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.removeprefix(f"  {name}").split()[0] in ("good", "note")
    assert lines[-2].endswith(" to note, 0 bad")
    assert lines[-1].startswith("next: synthcp score IMAGES --monitor ")


def test_a_bad_finding_ends_with_code_2(doctor):
    ended = doctor("--data", "folder:no/such/folder")
    assert (ended.code, ended.stderr) == (2, []) and ", 1 bad\n" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("next: mend what is bad")
    assert "check the path after folder:" in ended.stdout


@pytest.mark.parametrize(("state", "code"), [("good", 0), ("note", 0), ("bad", 2)])
def test_the_exit_code_is_of_the_worst_finding(doctor, planted, state, code):
    planted(state)
    ended = doctor()
    assert ended.code == code
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("  planted ")]
    assert line.split()[1] == state and 'a line with "[hf]" in it' in line and 'pip install "synthcp[hf]"' in line


def test_as_json_each_line_is_a_finding(doctor, planted):
    planted("bad")
    ended = doctor("--json", "--data", SCENES)
    findings = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.code == 2 and findings[0] == {
        "name": "planted",
        "state": "bad",
        "what": 'a line with "[hf]" in it',
        "remedy": 'pip install "synthcp[hf]"',
    }
    assert {"memory", "class road", "groups"} <= {finding["name"] for finding in findings}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "next: synthcp doctor --data SPEC"),
        (["--data", SCENES], f"next: synthcp fit --data '{SCENES}' --dry-run"),
    ],
)
def test_what_comes_next_is_said_last(doctor, planted, options, told):
    planted("good")
    assert doctor(*options).stdout.splitlines()[-1] == told


@pytest.mark.parametrize("options", [["--model", "preds:DIR"], ["--fit"]])
def test_what_needs_data_says_so(doctor, options):
    ended = doctor(*options)
    assert ended.code == 2 and ended.stdout == "" and ended.stderr[0].endswith("add --data SPEC")


def test_a_model_that_does_not_open_is_bad_and_no_crash(doctor):
    ended = doctor("--data", SCENES, "--model", "no-such:model")
    assert ended.code == 2 and ended.stderr == [] and "Model no-such:model" in ended.stdout


@pytest.mark.slow
def test_a_fit_is_tried_in_a_process_of_its_own(doctor):
    ended = doctor("--data", "scenes:?count=8&size=48x64", "--fit", "--scale", "tiny", "--json")
    assert ended.code == 0
    findings = {line["name"]: line for line in map(json.loads, ended.stdout.splitlines())}
    assert findings["fit: time"]["what"].startswith("about ") and "GB" in findings["fit: memory"]["what"]
