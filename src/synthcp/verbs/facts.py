"""Where numbers come from: what run.json, metrics.json and audit.json say beside them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from torch import nn

from synthcp.config.values import to_dict
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.settings import load_settings
from synthcp.report.outputs import RUN, RunSettings, read_settings
from synthcp.segmentation.loaded import fingerprint_of_module
from synthcp.segmentation.saved import SavedPredictions
from synthcp.system.kept import Work
from synthcp.system.provenance import command_line, commit, hardware, now, versions

OF_FIT = ("data", "model", "imperfect predictions", "command", "commit", "precision", "threads")

FAILED = "failed"
"""Fact of a run: how many of its images could not be judged, and why the first could not."""


def run_settings(monitor: Monitor, title: str, data: str) -> RunSettings:
    """Return what run.json holds of the output folder of a monitor.

    Args:
        monitor: Whose output it is.
        title: Of the report.
        data: Name of the data.
    """
    facts, usual, calibration = monitor.settings.facts, monitor.settings.thresholds, monitor.settings.calibration
    return RunSettings(
        classes=monitor.classes,
        title=title,
        command=command_line(),
        data=data,
        monitor=str(monitor.folder or ""),
        seed=int(facts.get("seed", 0)),
        variant=facts.get("variant", ""),
        scale=facts.get("scale", ""),
        created=now(),
        versions=versions(),
        thresholds={"error": usual.error, "anomaly": usual.anomaly} | (calibration.levels() if calibration else {}),
        promise=calibration.in_words() if calibration else {},
        anomaly_range=monitor.settings.anomaly_range,
        measure=monitor.settings.measure,
    )


def identity(monitor: Monitor) -> dict[str, str]:
    """Return all of a monitor that the results depend on, by name: an interrupted run goes on with the same alone."""
    predictor = monitor.predictor
    parts = [part for part in (monitor.generator, monitor.network, predictor) if isinstance(part, nn.Module)]
    seen = predictor.stamp() if isinstance(predictor, SavedPredictions) else ""
    settings = json.dumps(to_dict(monitor.settings), sort_keys=True, default=str)
    return {
        "monitor": digest_of(settings, seen, *map(fingerprint_of_module, parts)),
        "device": monitor.runtime.device.type,
        "precision": monitor.runtime.precision,
        "version of synthcp or of a library": str(versions()),
    }


def digest_of(*texts: str) -> str:
    """Return a digest of texts."""
    return hashlib.blake2b(json.dumps(texts).encode(), digest_size=16).hexdigest()


def run_begun(work: Work, settings: RunSettings) -> RunSettings:
    """Return the settings of a run; of one that goes on, command and time are those with which it was begun."""
    if not (work.goes_on and (work.new / RUN).is_file()):
        return settings
    begun = read_settings(work.new)
    return replace(settings, command=begun.command, created=begun.created)


def provenance(monitor: Monitor) -> dict[str, str]:
    """Return what a number must be printed with, beside what it was computed on."""
    facts = monitor.settings.facts
    return {
        **{name: facts[name] for name in ("variant", "scale", "seed") if name in facts},
        **{f"fit: {name}": facts[name] for name in OF_FIT if name in facts},
        "precision": monitor.runtime.precision,
        "hardware": hardware(monitor.runtime.device),
        "commit": commit(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "command": command_line(),
    }


def other_model(monitor: Monitor) -> dict[str, str]:
    """Return which M takes the place of the one that a monitor was fitted to; empty for that one."""
    seen = monitor.settings.model
    fitted = seen if monitor.folder is None else load_settings(monitor.folder).model
    return {} if seen == fitted else {"model": seen.spec}
