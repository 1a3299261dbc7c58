"""Where numbers come from: what run.json, metrics.json and audit.json say beside them."""

from __future__ import annotations

from synthcp.monitor.monitor import Monitor
from synthcp.monitor.settings import load_settings
from synthcp.report.outputs import RunSettings
from synthcp.system.provenance import command_line, commit, hardware, now, versions

OF_FIT = ("data", "model", "imperfect predictions", "command", "commit", "precision", "threads")


def run_settings(monitor: Monitor, title: str, data: str) -> RunSettings:
    """Return what run.json holds of the output folder of a monitor.

    Args:
        monitor: Whose output it is.
        title: Of the report.
        data: Name of the data.
    """
    facts, usual, calibration = monitor.settings.facts, monitor.settings.usual, monitor.settings.calibration
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
