"""synthcp watch-drift."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthcp.cli.exit_codes import ALARM, FINE
from synthcp.cli.options import MonitorFolder
from synthcp.cli.saying import say


def watch_drift_verb(
    outs: Annotated[list[Path], typer.Argument(metavar="OUT", help="Folders that score wrote, the oldest first.")],
    monitor: MonitorFolder,
    rate: Annotated[
        float, typer.Option(metavar="SHARE", help="Of streams without any drift that may raise an alarm.")
    ] = 0.01,
    fail_on_alarm: Annotated[bool, typer.Option("--fail-on-alarm", help="Exit with 4 if there is a drift.")] = False,
) -> int:
    """Tell whether new images are still like those of the calibration.

    If they are not, the promise of the calibration does not hold for them: calibrate on images like the new ones.
    """
    from synthcp.verbs.watch_drift import watch_drift

    found = watch_drift(monitor, outs, rate=rate)
    for drift in found:
        say(drift.in_words())
    drifted = any(drift.since is not None for drift in found)
    say("the promise is in doubt: calibrate on images like these" if drifted else "nothing tells against the promise")
    return ALARM if drifted and fail_on_alarm else FINE
