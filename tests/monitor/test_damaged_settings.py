"""monitor.json with one field damaged: refused in one line, or a monitor that judges with numbers."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from synthcp.errors import SynthCPError
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.settings import load_settings

MISSING = object()
DEEP: Any = 0
for _ in range(200):
    DEEP = [DEEP]
DAMAGES: dict[str, Any] = {
    "null": None,
    "NaN": float("nan"),
    "-1": -1,
    "0": 0,
    "1e308": 1e308,
    "empty text": "",
    "text": "x",
    "empty list": [],
    "empty object": {},
    "true": True,
    "missing": MISSING,
    "huge": 10**9,
    "endless": 10**30,
    "deep": DEEP,
}
Keys = tuple[str | int, ...]


def places(value: Any, keys: Keys = ()) -> Iterator[Keys]:
    """Every field of a JSON value, and of a list its first item."""
    if keys:
        yield keys
    inside = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*keys, key))


def damaged(settings: dict[str, Any], keys: Keys, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(settings)
    inner: Any = content
    for key in keys[:-1]:
        inner = inner[key]
    if value is MISSING:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return content


@pytest.fixture(scope="module")
def run(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny run whose settings may be damaged."""
    return shutil.copytree(run_folder, tmp_path_factory.mktemp("damaged") / "run")


@pytest.fixture(scope="module")
def whole(run_folder: Path) -> dict[str, Any]:
    """The settings of the tiny run, with a calibration."""
    content: dict[str, Any] = json.loads((run_folder / "monitor.json").read_text())
    content["calibration"] = {
        "promise": {"alpha": 0.1, "delta": 0.05, "floor": 0.5, "area": 0.01},
        "created": "2026-01-01T00:00:00",
        "data": "here",
        "images": 40,
        "groups": 0,
        "intervals": {"radii": dict.fromkeys(content["classes"]["names"], 0.2), "rare": []},
        "review": {"threshold": 0.5, "accepted": 30, "bad": 1, "all_bad": 3},
        "anomaly": {"threshold": 0.9, "usual_share": 0.1},
        "model": content["model"]["spec"],
        "fingerprint": "",
        "failed": "",
        "usual": {"error_share": [0.1, 0.3]},
    }
    return content


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_field_is_refused_or_harmless(damage: str, run: Path, whole: dict[str, Any]) -> None:
    image = torch.rand(3, 32, 40, generator=torch.Generator().manual_seed(0))
    file, refused = run / "monitor.json", 0
    file.write_text(json.dumps(whole))
    intact = load_settings(run)
    for keys in places(whole):
        file.write_text(json.dumps(damaged(whole, keys, DAMAGES[damage])))
        try:
            if load_settings(run) == intact:
                continue
            assessment = Monitor.load(run, "cpu").assess(image)
        except SynthCPError as error:
            assert "\n" not in str(error) and len(str(error)) < 1200, keys
            refused += 1
            continue
        assert assessment.error_map.isfinite().all() and 0 <= assessment.error_share <= 1, keys
        assert assessment.anomaly_map is not None and assessment.anomaly_map.isfinite().all(), keys
        assert all(0 <= value <= 1 for value in assessment.class_quality.values()), keys
    assert refused > 50


@pytest.mark.parametrize(
    ("keys", "value", "texts"),
    [
        (("learnt", "thresholds", "error_share"), -1, ("error_share of Thresholds is -1", "must lie in 0 to 2")),
        (("learnt", "thresholds", "anomaly"), 1e308, ("anomaly of Thresholds is 1e+308", "must lie in")),
        (("learnt", "blend"), "x", ("setting 'learnt.blend' is 'x'; it must be an object {...}",)),
        (("learnt", "blend"), None, ("holds no learnt blend", "restore it or fit again")),
        (("classes", "names", 1), "sky", ("setting 'classes': the names of the 9 classes must differ",)),
        (("classes", "ignore_index"), 3, ("ignore index 3 is a class (0 to 8)", "choose one outside")),
        (("scale", "output_stride"), 0, ("setting 'scale.output_stride' is 0; it must be one of 4, 8, 16, 32",)),
        (("scale", "spade_width"), 10**6, ("spade_width of Scale is 1e+06; it must lie in 1 to 4096",)),
        (
            ("scale", "spade_width"),
            4096,
            ("generator.safetensors holds", "tell of a larger network"),
        ),
        (("model", "layers"), 10**9, ("layers of ModelSettings is 1e+09",)),
        (("learnt", "thresholds", "class_quality"), [0.5], ("1 thresholds of class quality, 9 classes",)),
        (("calibration", "intervals", "radii"), {}, ("intervals of the calibration are not of the monitor's classes",)),
    ],
)
def test_a_wrong_field_is_named_with_its_rule(keys, value, texts, run, whole, fails) -> None:
    content = damaged(whole, keys, value)
    if keys[0] == "classes" and keys[1] == "names":
        content["classes"]["names"][0] = "sky"
    (run / "monitor.json").write_text(json.dumps(content))
    with fails(*texts):
        Monitor.load(run, "cpu")


def test_sizes_are_compared_before_anything_is_allocated(run, whole, fails, monkeypatch) -> None:
    content = damaged(whole, ("scale", "segmenter_width"), 4096)
    content["scale"]["segmenter_hidden"] = 4096
    (run / "monitor.json").write_text(json.dumps(content))
    loaded = []
    monkeypatch.setattr("synthcp.system.files.load_module", lambda *given: loaded.append(given))
    with fails("segmenter.safetensors holds", "tell of a larger network"):
        Monitor.load(run, "cpu")
    assert not loaded
