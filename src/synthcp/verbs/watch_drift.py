"""watch_drift(monitor, outs): whether what was scored is still like what the monitor was calibrated on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from synthcp.errors import InputError
from synthcp.monitor.calibration import Calibration
from synthcp.monitor.drift import COLUMNS, RATE, Drift, watch
from synthcp.monitor.settings import load_settings
from synthcp.report.rows import ResultRow, read_rows


def watch_drift(monitor: str | Path, outs: Sequence[str | Path], *, rate: float = RATE) -> list[Drift]:
    """Test the images of some output folders, in their order, against those of the calibration; no network runs.

    Args:
        monitor: Folder of a calibrated monitor.
        outs: Folders that `score` wrote with it, the oldest first.
        rate: Share of streams without any drift that may raise an alarm, in (0, 1).

    Returns:
        One for each score that is watched.

    Raises:
        InputError: The monitor is not calibrated, a folder holds no scores, or no image could be scored.
    """
    calibration = load_settings(Path(monitor)).calibration
    if calibration is None:
        raise InputError(f"{monitor} is not calibrated, so nothing says what is usual; run synthcp calibrate")
    rows = [row for out in outs for row in read_rows(Path(out))]
    found = drift_of(calibration, rows, rate)
    if not found:
        raise InputError(f"none of the {len(rows)} images was scored, so that nothing can have drifted; name others")
    return found


def drift_of(calibration: Calibration, rows: Iterable[ResultRow], rate: float = RATE) -> list[Drift]:
    """Test rows in their order; those of images that failed are left out."""
    scored = [row for row in rows if row.status == "ok"]
    return watch(calibration.usual, {name: [getattr(row, name) for row in scored] for name in COLUMNS}, rate)
