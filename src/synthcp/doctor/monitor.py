"""A fitted monitor: what it is, what it was fitted with, and whether it still opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from synthcp.doctor.base import Finding, Scope
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.settings import MonitorSettings, load_settings
from synthcp.system.provenance import versions


def facts(scope: Scope) -> Iterator[Finding]:
    """Tell what a monitor is, by which versions it was fitted, and what it promises."""
    settings = load_settings(Path(scope.monitor))
    known = {"model": settings.model.spec, **settings.facts}
    told = [f"{name} {known[name]}" for name in ("model", "data", "variant", "scale", "seed") if known.get(name)]
    counts = f"{len(settings.classes)} classes, {settings.channels} channels, {len(settings.training_ids)} images"
    yield Finding("monitor", "good", f"{', '.join(told)}; {counts}")
    yield _versions(settings.facts.get("versions", ""))
    yield _calibration(settings)


def weights(scope: Scope) -> Iterator[Finding]:
    """Open the networks of a monitor."""
    monitor = Monitor.load(Path(scope.monitor), scope.device, trust_code=scope.trust_code)
    model = "M" if monitor.segmenter is not None else "M's predictions"
    yield Finding("weights", "good", f"{model}, G and F open on {monitor.runtime.device}")


def _versions(fitted: str) -> Finding:
    """Compare "torch 2.13.0, python 3.11.7", as a fit writes it, with what is here."""
    if not fitted:
        return Finding("fitted with", "note", "unknown versions")
    here = versions()
    then = {name: release for name, _, release in (part.partition(" ") for part in fitted.split(", "))}
    changed = [f"{name} {here[name]}" for name, release in then.items() if here.get(name, release) != release]
    if not changed:
        return Finding("fitted with", "good", f"{fitted}, as here")
    return Finding("fitted with", "note", f"{fitted}; here {', '.join(changed)}", "if its scores move, fit it again")


def _calibration(settings: MonitorSettings) -> Finding:
    calibration = settings.calibration
    if calibration is None:
        return Finding("calibration", "note", "none, so nothing is promised", "synthcp calibrate --help")
    line = f"{calibration.created[:10]}, {calibration.images} images of {calibration.data or 'unnamed data'}"
    if not calibration.speaks_of(*settings.model.identity):
        return Finding("calibration", "note", f"{line}, but of {calibration.model}", "calibrate it again")
    return Finding("calibration", "good", f"{line}; at most {calibration.promise.alpha:.0%} of intervals miss")
