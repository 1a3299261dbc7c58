"""synthcp calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from synthcp.cli import options
from synthcp.cli.options import at_work, load_monitor, tell_failed
from synthcp.cli.saying import say_next
from synthcp.errors import shown
from synthcp.system.progress import Terminal

if TYPE_CHECKING:
    from synthcp.monitor.calibration import Calibration


def calibrate_verb(
    monitor: options.OwnMonitor,
    data: options.DataSpec,
    split: options.Split = "val",
    alpha: Annotated[
        float, typer.Option(metavar="SHARE", help="Largest share of bad predictions among those accepted.")
    ] = 0.1,
    delta: Annotated[float, typer.Option(metavar="SHARE", help="Largest chance that the promise is broken.")] = 0.05,
    floor: Annotated[
        float, typer.Option(metavar="QUALITY", help="Mean IoU (volumes: Dice) below which a prediction is bad.")
    ] = 0.5,
    area: Annotated[
        float, typer.Option(metavar="SHARE", help="Largest share of known pixels flagged as unknown.")
    ] = 0.01,
    resume: options.Resume = False,
    model: options.Model = None,
    predictions: options.Predictions = None,
    trust_code: options.TrustCode = False,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> int:
    """Set alarms with a promise, on labelled images that the fit has not seen.

    Stores in the monitor, and prints: an interval for the IoU (volumes: Dice) of each class, a threshold for what goes
    to review, and one for unknown pixels. From then on, score says accept or review.
    """
    with at_work(threads, quiet) as progress:
        from synthcp.monitor.promise import Promise
        from synthcp.verbs.calibrate import calibrate
        from synthcp.verbs.given import open_data

        promise = Promise(alpha=alpha, delta=delta, floor=floor, area=area)
        dataset, facts = open_data(data, split)
        opened = load_monitor(monitor, model, predictions, device, precision, trust_code=trust_code)
        calibration = calibrate(opened, dataset, promise=promise, facts=facts, resume=resume, progress=progress)
    for table in _tables(calibration, opened.settings.measure):
        Terminal().print(table)
    say_next("score", "IMAGES", "--monitor", monitor, "--out", Path("out") / monitor.name)
    return tell_failed(calibration.failed, opened.settings.scored)


def _tables(calibration: Calibration, measure: str) -> tuple[Table, Table]:
    words = Table(title="What is promised", title_justify="left", show_header=False)
    for subject, sentence in calibration.in_words().items():
        words.add_row(Text(shown(subject)), Text(shown(sentence)))
    radii = Table("Class", f"Predicted {measure}", title="Intervals", title_justify="left")
    for name, radius in calibration.intervals.radii.items():
        rare = " (too rare for a promise of its own)" if name in calibration.intervals.rare else ""
        radii.add_row(Text(shown(name)), Text(f"+- {radius:.2f}{rare}"))
    return words, radii
