"""synthcp calibrate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from synthcp.cli.options import (
    DataSpec,
    Device,
    Model,
    MonitorFolder,
    Precision,
    Predictions,
    Quiet,
    Threads,
    other_model,
    use_threads,
)
from synthcp.system.progress import show_progress

if TYPE_CHECKING:
    from synthcp.monitor.calibration import Calibration


def calibrate_verb(
    monitor: MonitorFolder,
    data: DataSpec,
    split: Annotated[str, typer.Option(metavar="NAME", help="Which images of the data.")] = "val",
    alpha: Annotated[float, typer.Option(metavar="SHARE", help="Of bad predictions among the accepted.")] = 0.1,
    delta: Annotated[float, typer.Option(metavar="SHARE", help="Chance that the review breaks its promise.")] = 0.05,
    floor: Annotated[
        float, typer.Option(metavar="QUALITY", help="Mean IoU (volumes: Dice) below which a prediction is bad.")
    ] = 0.5,
    area: Annotated[float, typer.Option(metavar="SHARE", help="Of an image's pixels, flagged though known.")] = 0.01,
    model: Model = None,
    predictions: Predictions = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Set alarms with a promise, on labelled images that the fit has not seen.

    Stores in the monitor, and prints: an interval for the IoU (volumes: Dice) of each class, a threshold for what goes
    to review, and one for unknown pixels. From then on, score says accept or review.
    """
    use_threads(threads)
    from synthcp.data.specs import open_dataset, split_of
    from synthcp.monitor.promise import Promise
    from synthcp.monitor.settings import load_settings
    from synthcp.verbs.calibrate import calibrate

    promise = Promise(alpha, delta, floor, area)
    dataset = open_dataset(data, split)
    console = Console()
    with show_progress(console, quiet) as progress:
        name = f"{data}, split {split_of(data, split)}"
        other = other_model(model, predictions)
        calibration = calibrate(monitor, dataset, promise, name, device, precision, progress, other)
    for table in _tables(calibration, load_settings(monitor).measure):
        console.print(table)
    typer.echo(f"next: synthcp score IMAGES --monitor {monitor} --out out/{monitor.name}")


def _tables(calibration: Calibration, measure: str) -> tuple[Table, Table]:
    words = Table(title="What is promised", title_justify="left", show_header=False)
    for subject, sentence in calibration.in_words().items():
        words.add_row(Text(subject), Text(sentence))
    radii = Table("Class", f"Predicted {measure}", title="Intervals", title_justify="left")
    for name, radius in calibration.intervals.radii.items():
        rare = " (too rare for a promise of its own)" if name in calibration.intervals.rare else ""
        radii.add_row(Text(name), Text(f"+- {radius:.2f}{rare}"))
    return words, radii
