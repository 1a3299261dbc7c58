"""config.json: what a run was begun with, and whether it may be continued with what is asked now."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthcp.config.values import load_record
from synthcp.data.base import Dataset
from synthcp.errors import InputError
from synthcp.fitting.config import FREE, FitConfig
from synthcp.monitor.settings import MonitorSettings
from synthcp.system.run_folder import CONFIG
from synthcp.system.runtime import Precision

DATA = ("classes", "channels", "spatial_dims", "training_ids", "preparation", "model")
"""The settings that follow from the data and from a brought M."""


@dataclass(frozen=True)
class Begun:
    """What a run was begun with.

    Attributes:
        asked: Every option that a continued fit must repeat, by name, see asked_of.
        settings: Of the monitor to be.
        precision: Of the networks.
    """

    asked: dict[str, Any]
    settings: MonitorSettings
    precision: Precision


def asked_of(config: FitConfig, settings: MonitorSettings) -> dict[str, Any]:
    """Return the options that are not free as plain values, each name as what it stands for in the settings."""
    resolved: dict[str, Any] = {
        "variant": config.chosen_variant(),
        "scale": settings.scale,
        "imperfect": config.source,
        "model": list(settings.model.identity),
    }
    names = [field.name for field in dataclasses.fields(config) if field.name not in FREE]
    names.sort(key=lambda name: name == "variant")  # last, for other options are part of it
    values = {name: _plain(resolved.get(name, getattr(config, name))) for name in names}
    return dict(json.loads(json.dumps(values)))  # as it comes back from the file


def _plain(value: Any) -> Any:
    """A value as JSON has it: of a data set its ids, of a record its fields and what it is."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Dataset):
        return list(value.ids)
    if dataclasses.is_dataclass(value):
        parts = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"kind": type(value).__name__} | parts
    return value


def taken_up(folder: Path, config: FitConfig, settings: MonitorSettings) -> Begun:
    """Return what a run was begun with, for it to be continued.

    Args:
        folder: Of the run.
        config: What is asked now.
        settings: What follows from it now.

    Raises:
        InputError: The run was not to be continued, or an option or the data are others now; the message names it.
    """
    require_free(folder, config.resume)
    begun = load_record(folder / CONFIG, Begun)
    for name, now in asked_of(config, settings).items():
        _require_same(folder, name, begun.asked.get(name), now)
    if config.precision != "auto":
        _require_same(folder, "precision", begun.precision, config.precision)
    for name in DATA:
        _require_same(folder, name, getattr(begun.settings, name), getattr(settings, name))
    return begun


def require_free(folder: Path, resume: bool) -> None:
    """Refuse the folder of a run that is not to be continued; raises InputError."""
    if not resume and (folder / CONFIG).exists():
        raise InputError(f"{folder} holds a run already; continue it with --resume or choose another folder")


def _require_same(folder: Path, name: str, then: Any, now: Any) -> None:
    if then != now:
        told = f"with {name} {then}" if isinstance(then, str | int | float) else f"with another {name}"
        raise InputError(f"{folder} was begun {told}; resume with the same, or choose another folder")
