"""The folder of a run: what a fit writes, and where it lies."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

RUNS = Path("runs")
"""Of all runs that are given no folder."""
CONFIG = "config.json"
"""What was asked of the fit."""
SETTINGS = "monitor.json"
"""The settings of the finished monitor; until it is there, the run can be resumed."""
STEPS = "metrics.jsonl"
"""Losses of every tenth step of every stage, one line each."""
PICTURES = "pictures"
"""Folder of pictures of the state of a training."""
IMPERFECT = "imperfect"
"""Folder of the imperfect predictions that F learns from, which only a fit needs."""
FOLDS = "folds"
"""Folder of what the user's own command leaves of each fold."""

SEGMENTER, AUXILIARY, GENERATOR, COMPARATOR = "segmenter", "auxiliary", "generator", "comparator"
"""Names of the weights of M, of the auxiliary segmenter beside a brought M, of G and of F."""
CONTROLS_FOLDER = "controls"
"""Folder of the learned controls of the tables."""
DIRECT_COMPARATOR = f"{CONTROLS_FOLDER}/direct"
"""Name of the weights of the F that judges without a drawing, beside one that judges with it."""

MONITOR_FILES = [
    SETTINGS,
    *(f"{name}.safetensors" for name in (SEGMENTER, GENERATOR, COMPARATOR, DIRECT_COMPARATOR)),
]
"""All that a monitor is loaded from; not every one has each of them."""


def usual_folder(parent: Path, name: str, *, resume: bool) -> Path:
    """Return where a run goes that is given no folder: PARENT/NAME, or NAME-2, NAME-3, ... where that is taken.

    Args:
        parent: Of all runs.
        name: Of what it is fitted to.
        resume: Whether it goes on, in the one that was begun last.
    """
    folders = (parent / (f"{name}-{number}" if number > 1 else name) for number in count(1))
    last: Path | None = None
    for folder in folders:
        if not folder.exists():
            break
        last = folder
    return last if resume and last is not None else folder


def weights_path(folder: Path, name: str) -> Path:
    """Return the file of the weights of a network."""
    return folder / f"{name}.safetensors"


def learnt_path(weights: Path) -> Path:
    """Return the file of what was learnt of a comparator beside its weights."""
    return weights.with_suffix(".json")


def checkpoint_path(folder: Path, stage: str) -> Path:
    """Return where a stage keeps its checkpoint until its weights are written."""
    return folder / f"{stage}.checkpoint.safetensors"


def clear_up(folder: Path) -> None:
    """Remove what only an unfinished run needs, and what a killed one left half written."""
    shutil.rmtree(folder / IMPERFECT, ignore_errors=True)
    for pattern in (
        "*.checkpoint.safetensors",
        ".*.partial.*",
        weights_path(Path(), AUXILIARY).name,
        weights_path(Path(), "fold[0-9]*").name,
    ):
        for path in folder.rglob(pattern):
            path.unlink()
