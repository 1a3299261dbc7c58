"""SynthCP: an alarm system for semantic segmentation (Xia et al., "Synthesize then Compare", ECCV 2020)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthcp.data.specs import open_dataset as open_dataset
    from synthcp.errors import SynthCPError as SynthCPError
    from synthcp.fitting.config import FitConfig as FitConfig
    from synthcp.fitting.imperfect_sources import Corrupt as Corrupt
    from synthcp.fitting.imperfect_sources import Folds as Folds
    from synthcp.fitting.imperfect_sources import HeldOut as HeldOut
    from synthcp.fitting.imperfect_sources import KFold as KFold
    from synthcp.fitting.imperfect_sources import Unseen as Unseen
    from synthcp.fitting.run import fit as fit
    from synthcp.monitor.monitor import Monitor as Monitor
    from synthcp.monitor.promise import Promise as Promise
    from synthcp.monitor.wrapped import wrap as wrap
    from synthcp.records import AnomalousRegion as AnomalousRegion
    from synthcp.records import Assessment as Assessment
    from synthcp.records import Classes as Classes
    from synthcp.records import Detection as Detection
    from synthcp.records import Prediction as Prediction
    from synthcp.records import Sample as Sample
    from synthcp.segmentation.specs import open_model as open_model
    from synthcp.verbs.audit.run import audit as audit
    from synthcp.verbs.audit.suspects import Suspect as Suspect
    from synthcp.verbs.calibrate import calibrate as calibrate
    from synthcp.verbs.evaluate import evaluate as evaluate
    from synthcp.verbs.score import score as score
    from synthcp.verbs.watch_drift import watch_drift as watch_drift

__version__ = "0.2.0"

# Where each name lives. It is imported when first asked for, so that `import synthcp` does not wait for torch.
_HOMES = {
    "AnomalousRegion": "records",
    "Assessment": "records",
    "Classes": "records",
    "Corrupt": "fitting.imperfect_sources",
    "Detection": "records",
    "FitConfig": "fitting.config",
    "Folds": "fitting.imperfect_sources",
    "HeldOut": "fitting.imperfect_sources",
    "KFold": "fitting.imperfect_sources",
    "Monitor": "monitor.monitor",
    "Prediction": "records",
    "Promise": "monitor.promise",
    "Sample": "records",
    "Suspect": "verbs.audit.suspects",
    "SynthCPError": "errors",
    "Unseen": "fitting.imperfect_sources",
    "audit": "verbs.audit.run",
    "calibrate": "verbs.calibrate",
    "evaluate": "verbs.evaluate",
    "fit": "fitting.run",
    "open_dataset": "data.specs",
    "open_model": "segmentation.specs",
    "score": "verbs.score",
    "watch_drift": "verbs.watch_drift",
    "wrap": "monitor.wrapped",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOMES.keys())
