"""The detectors of a fitted run, by the names they have in tables."""

from __future__ import annotations

from pathlib import Path

from synthcp.comparison.base import Detector
from synthcp.comparison.logit_scores import LOGIT_SCORES, LogitDetector
from synthcp.errors import InputError
from synthcp.fitting.heads import CONTROLS, UNTRAINED, control_path
from synthcp.monitor.monitor import Monitor
from synthcp.rivals.controls import load_control
from synthcp.training.comparator import DIRECT

SHIPPED = "synthcp"


def load_detectors(folder: Path, monitor: Monitor, names: list[str] | None = None) -> dict[str, Detector]:
    """Return the detectors of a run: the logit scores, the controls if they were fitted, and SynthCP last.

    Args:
        folder: Of the run.
        monitor: Of the run.
        names: Which ones; None takes all there are.

    Raises:
        InputError: A name is unknown.
    """
    known = available(folder)
    for name in names or []:
        if name not in known:
            raise InputError(f"detector {name!r} is not in {folder}; it has {', '.join(known)}")
    return {name: _load(folder, monitor, name) for name in known if names is None or name in names}


def available(folder: Path) -> list[str]:
    """Return the names of a run's detectors."""
    learned = [name for name in (DIRECT, UNTRAINED) if control_path(folder, name).exists()]
    return [*LOGIT_SCORES, *learned, SHIPPED]


def _load(folder: Path, monitor: Monitor, name: str) -> Detector:
    if name in LOGIT_SCORES:
        return LogitDetector(LOGIT_SCORES[name])
    return load_control(folder, name, monitor) if name in CONTROLS else monitor.detector()
