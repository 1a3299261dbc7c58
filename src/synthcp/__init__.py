"""SynthCP: an alarm system for semantic segmentation (Xia et al., "Synthesize then Compare", ECCV 2020)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthcp.data.specs import open_dataset
    from synthcp.errors import SynthCPError
    from synthcp.evaluation import evaluate
    from synthcp.fitting.config import FitConfig
    from synthcp.fitting.imperfect import Corrupt, Folds, HeldOut, KFold
    from synthcp.fitting.run import fit
    from synthcp.monitor.monitor import Monitor
    from synthcp.monitor.promise import Promise
    from synthcp.records import AnomalousRegion, Assessment, Classes, Detection, Prediction, Sample
    from synthcp.segmentation.specs import open_model
    from synthcp.verbs.audit.suspects import Suspect, audit
    from synthcp.verbs.calibrate import calibrate

__version__ = "0.1.0"

__all__ = [
    "AnomalousRegion",
    "Assessment",
    "Classes",
    "Corrupt",
    "Detection",
    "FitConfig",
    "Folds",
    "HeldOut",
    "KFold",
    "Monitor",
    "Prediction",
    "Promise",
    "Sample",
    "Suspect",
    "SynthCPError",
    "__version__",
    "audit",
    "calibrate",
    "evaluate",
    "fit",
    "open_dataset",
    "open_model",
]

# Where each name lives. It is imported when first asked for, so that `import synthcp` does not wait for torch.
_HOMES = {
    "AnomalousRegion": "records",
    "Assessment": "records",
    "Classes": "records",
    "Corrupt": "fitting.imperfect",
    "Detection": "records",
    "FitConfig": "fitting.config",
    "Folds": "fitting.imperfect",
    "HeldOut": "fitting.imperfect",
    "KFold": "fitting.imperfect",
    "Monitor": "monitor.monitor",
    "Prediction": "records",
    "Promise": "monitor.promise",
    "Sample": "records",
    "Suspect": "verbs.audit.suspects",
    "SynthCPError": "errors",
    "audit": "verbs.audit.suspects",
    "calibrate": "verbs.calibrate",
    "evaluate": "evaluation",
    "fit": "fitting.run",
    "open_dataset": "data.specs",
    "open_model": "segmentation.specs",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOMES.keys())
