from __future__ import annotations

from pathlib import Path

import pytest

from synthcp.doctor import examine as module
from synthcp.doctor.examine import Request, examine
from synthcp.doctor.findings import Finding
from synthcp.doctor.trial import Wish
from synthcp.errors import InputError

SCENES = "scenes:?count=5&size=48x64"


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """Calls of each check, in its place."""
    calls = {}

    def replaced(name):
        def check(*arguments):
            calls[name] = arguments
            return [Finding(name, "good", "planted")]

        return check

    for name in ("libraries", "machine", "data", "model", "monitor", "cost"):
        monkeypatch.setattr(module, f"check_{name}", replaced(name))
    return calls


def test_libraries_and_machine_are_always_checked(calls):
    groups = dict(examine(Request(out=Path("there"))))
    assert list(groups) == ["Libraries", "Machine"] and calls == {"libraries": (), "machine": (Path("there"),)}


def test_everything_that_is_asked_for_is_checked(calls, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    request = Request(SCENES, True, "preds:DIR", "head", Path("run"), True, "tiny", Path("there"), "cpu")
    assert list(dict(examine(request))) == [
        "Libraries", "Machine", f"Data {SCENES}", "Model preds:DIR", "Fit of scale tiny", "Monitor run",
    ]  # fmt: skip
    spec, dataset, scale, limit = calls["data"]
    assert (spec, len(dataset), scale.side, limit) == (SCENES, 5, 48, None)
    model, images, runtime, features = calls["model"]
    assert (model, features, images is dataset, str(runtime.device)) == ("preds:DIR", "head", True, "cpu")
    assert calls["cost"] == (Wish(SCENES, "tiny", "preds:DIR", "head", "cpu", 3), dataset, Path("there"))
    assert calls["monitor"] == (Path("run"), "cpu")


def test_200_images_are_looked_at_unless_all_are_asked_for(calls):
    list(examine(Request(SCENES)))
    assert calls["data"][-1] == 200 and "model" not in calls and "cost" not in calls


def test_without_data_that_opens_the_rest_goes_on(calls, tmp_path):
    groups = dict(examine(Request(f"folder:{tmp_path}/none", model="preds:DIR", fit=True, monitor=tmp_path)))
    title = f"Data folder:{tmp_path}/none"
    assert list(groups) == ["Libraries", "Machine", title, f"Monitor {tmp_path}"]
    assert groups[title][0].state == "bad" and "no such folder" in groups[title][0].what


def test_a_check_that_breaks_is_a_finding(monkeypatch):
    monkeypatch.setattr(module, "check_data", lambda *_: 1 // 0)
    groups = dict(examine(Request(SCENES)))
    assert groups[f"Data {SCENES}"][0].what.startswith("ZeroDivisionError")


@pytest.mark.parametrize(
    ("options", "what"),
    [({"model": "preds:DIR"}, "add --data SPEC"), ({"fit": True}, "add --data SPEC"), ({"scale": "big"}, "'big'")],
)
def test_what_cannot_be_asked(options, what):
    with pytest.raises(InputError, match=what):
        Request(**options)
