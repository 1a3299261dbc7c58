"""What a verb is given: a monitor or the folder of one, a data set or its SPEC."""

from __future__ import annotations

from pathlib import Path

from synthcp.data.base import Dataset
from synthcp.data.specs import full_spec, open_dataset, split_of
from synthcp.errors import InputError
from synthcp.monitor.monitor import Monitor

AnyMonitor = Monitor | str | Path
AnyData = Dataset | str


def open_monitor(monitor: AnyMonitor) -> Monitor:
    """Return a monitor, or read it from its folder; for another M, device or precision use Monitor.load.

    Raises:
        InputError: There is no such monitor.
    """
    return monitor if isinstance(monitor, Monitor) else Monitor.load(monitor)


def folder_of(monitor: Monitor) -> Path:
    """Return the folder of a monitor; raises InputError when it has none."""
    if monitor.folder is None:
        raise InputError("the monitor lies in no folder, where its detectors and settings are kept; save it first")
    return monitor.folder


def open_data(data: AnyData, split: str) -> tuple[Dataset, dict[str, str]]:
    """Return a data set, or the one that a SPEC names, and the facts by which a document names it.

    Args:
        data: A data set, which has no name, or a SPEC.
        split: Which images of a SPEC that names no split.

    Raises:
        InputError: The SPEC cannot be opened.
    """
    if isinstance(data, Dataset):
        return data, {}
    spec = full_spec(data)
    return open_dataset(spec, split), {"data": spec, "split": split_of(spec, split)}
