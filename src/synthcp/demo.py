"""The demo: fit a small monitor on drawn streets and evaluate it on others, with objects it has never seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from synthcp.config import SCALES
from synthcp.data.scenes import Scenes, ScenesConfig
from synthcp.evaluation import Results
from synthcp.fitting import FitOptions, fit
from synthcp.provenance import command_line, commit
from synthcp.scoring import evaluate_run
from synthcp.training.loop import Progress, silent

DEMO_SCALE = replace(SCALES["tiny"], side=96)
TRAIN_SCENES = ScenesConfig(count=150, split="train")
TEST_SCENES = ScenesConfig(count=40, split="test")


def demo(out: Path, seed: int = 0, progress: Progress = silent) -> tuple[Results, Path]:
    """Fit and evaluate; a demo that was broken off goes on where it stopped.

    Args:
        out: Folder of the run and of its evaluation.
        seed: Of everything random, the streets included.
        progress: Called after every step of every stage.

    Returns:
        The scores on the test scenes, and the path of the report.

    Raises:
        InputError: The folder holds another run or cannot be written.
    """
    train, test = (Scenes(replace(config, seed=seed)) for config in (TRAIN_SCENES, TEST_SCENES))
    facts = {"data": _describe(train), "command": command_line(), "commit": commit()}
    fit(train, out, FitOptions(scale=DEMO_SCALE, seed=seed, resume=True), progress, facts)
    results = evaluate_run(out, test, out, facts={"data": _describe(test)}, progress=progress)
    return results, out / "report.html"


def _describe(scenes: Scenes) -> str:
    """The SPEC of the scenes."""
    config = scenes.config
    size = f"{config.height}x{config.width}"
    return f"scenes:?split={config.split}&count={config.count}&seed={config.seed}&size={size}"
