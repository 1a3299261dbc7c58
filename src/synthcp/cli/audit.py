"""synthcp audit."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from synthcp.cli.options import (
    DataSpec,
    Device,
    Model,
    MonitorFolder,
    Out,
    Precision,
    Predictions,
    Quiet,
    Seed,
    Threads,
    other_model,
    use_threads,
)
from synthcp.system.progress import show_progress


def audit_verb(
    data: DataSpec,
    monitor: MonitorFolder,
    out: Out,
    most: Annotated[int, typer.Option(min=1, metavar="N", help="How many suspects to report.")] = 200,
    split: Annotated[str, typer.Option(metavar="NAME", help="Which images of the data.")] = "train",
    model: Model = None,
    predictions: Predictions = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "fp32",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Rank likely label errors of labelled images.

    Writes suspects.csv and audit.html, worst first: regions where another label explains the image better.
    """
    use_threads(threads)
    from synthcp.data.specs import open_dataset, split_of
    from synthcp.verbs.audit.run import audit_run

    dataset = open_dataset(data, split)
    facts = {"data": data, "split": split_of(data, split)}
    with show_progress(Console(), quiet) as progress:
        other = other_model(model, predictions)
        suspects = audit_run(monitor, dataset, out, most, seed, facts, device, precision, progress, other)
    typer.echo(f"{len(suspects)} suspects in {len(dataset)} images; report: {out / 'audit.html'}")
