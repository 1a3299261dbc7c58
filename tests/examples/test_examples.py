"""Every example runs, at a size at which it says nothing."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from synthcp.config.scales import Scale

EXAMPLES = Path(__file__).parents[2] / "examples"
DATA = "scenes:?count=8&size=48x64"
ZOO = ("torchvision_zoo", "smp_zoo")
TRAINING = ("train_segformer",)
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.fixture(autouse=True)
def beside_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a script sees its neighbours."""
    monkeypatch.syspath_prepend(EXAMPLES)
    torch.manual_seed(0)


def imported(name: str) -> ModuleType:
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def check(name: str, out: Path, scale: Scale, capsys: pytest.CaptureFixture[str]) -> None:
    assessment = imported(name).main(DATA, out, scale, steps=2)
    assert assessment.error_map.shape == (48, 64) and assessment.error_map.isfinite().all()
    said = capsys.readouterr().out
    assert all(alarm in said for alarm in assessment.alarms or ["no alarm"])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*ZOO, *TRAINING)])
def test_an_example(name: str, tmp_path: Path, smallest_scale: Scale, capsys: pytest.CaptureFixture[str]) -> None:
    check(name, tmp_path, smallest_scale, capsys)


@pytest.mark.zoo
@pytest.mark.parametrize("name", ZOO)
def test_an_example_of_the_zoo(
    name: str, tmp_path: Path, smallest_scale: Scale, capsys: pytest.CaptureFixture[str]
) -> None:
    check(name, tmp_path, smallest_scale, capsys)


def test_a_segformer_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--data", DATA, "--out", str(tmp_path), "--steps", "2", "--batch", "2", "--side", "48"]
    monkeypatch.setattr(sys, "argv", ["train_segformer.py", *arguments])
    imported("train_segformer").main()
    kept = [(tmp_path / name).read_text().split() for name in ("train.txt", "held_out.txt")]
    assert (tmp_path / "model.safetensors").is_file()
    assert sorted(sum(kept, [])) == [f"train-000{index}" for index in range(8)] and all(kept)


def test_every_example_stands_in_its_list_and_says_how_it_is_run() -> None:
    assert {*ZOO, *TRAINING} <= set(NAMES)
    for name in NAMES:
        text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        assert f"python examples/{name}.py" in text
        assert len(text.splitlines()) <= 110
