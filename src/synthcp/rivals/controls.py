"""The learned controls of every table: direct prediction at equal capacity, and SynthCP with an untrained generator."""

from __future__ import annotations

from pathlib import Path

from synthcp.comparison.base import Detector
from synthcp.comparison.synthesize_then_compare import SynthesizeThenCompare
from synthcp.fitting.heads import UNTRAINED_GENERATOR, control_path
from synthcp.monitor.fitted_comparator import FittedComparator
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator
from synthcp.rivals.direct import DirectPrediction
from synthcp.system.files import load_module
from synthcp.training.comparator import DIRECT


def load_control(folder: Path, name: str, monitor: Monitor) -> Detector:
    """Return a control of a run as a detector.

    Args:
        folder: Of the run.
        name: One of CONTROLS.
        monitor: Of the run; the control shares its segmenter.

    Raises:
        InputError: The run was fitted without controls.
    """
    fitted = FittedComparator.load(control_path(folder, name), monitor.settings, monitor.runtime)
    comparator = fitted.comparator(monitor.segmenter, monitor.settings.t)
    if name == DIRECT:
        return DirectPrediction(comparator)
    generator = monitor.runtime.place(build_generator(monitor.settings)).eval()
    load_module(control_path(folder, UNTRAINED_GENERATOR), generator)
    return SynthesizeThenCompare(generator, comparator)
