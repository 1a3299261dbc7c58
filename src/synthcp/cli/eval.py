"""synthcp eval."""

from __future__ import annotations

import sys
from pathlib import Path
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
    Threads,
    other_model,
    use_threads,
)
from synthcp.system.progress import show_progress


def eval_verb(
    monitor: MonitorFolder,
    data: DataSpec,
    out: Out,
    split: Annotated[str, typer.Option(metavar="NAME", help="Which images of the data.")] = "test",
    detectors: Annotated[str | None, typer.Option(metavar="A,B,C", help="Which detectors; by default all.")] = None,
    protocols: Annotated[
        str,
        typer.Option(
            metavar="A,B,C", help="Of anomaly segmentation: pooled, caos, fishyscapes, smiyc or smiyc-obstacle."
        ),
    ] = "pooled,caos",
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the tables and settings for a document too.")
    ] = None,
    model: Model = None,
    predictions: Predictions = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Compare detectors and controls with ground truth.

    Prints the tables and writes metrics.json, results.csv, regions.csv, maps/ and report.html.
    """
    use_threads(threads)
    from synthcp.data.specs import open_dataset, split_of
    from synthcp.monitor.settings import load_settings
    from synthcp.report.outputs import write_text
    from synthcp.report.tables import to_markdown, to_rich
    from synthcp.verbs.score import evaluate_run, seen_in_fitting

    dataset = open_dataset(data, split)
    names = None if detectors is None else detectors.split(",")
    facts = {"data": data, "split": split_of(data, split)}
    console = Console()
    with show_progress(console, quiet) as progress:
        other = other_model(model, predictions)
        results = evaluate_run(
            monitor, dataset, out, names, facts, device, precision, progress, other, protocols.split(",")
        )
    for table in to_rich(results):
        console.print(table)
    if markdown is not None:
        write_text(markdown, f"# Results on {data.partition(':')[0]}\n\n{to_markdown(results)}")
    seen = seen_in_fitting(dataset, load_settings(monitor).training_ids)
    if seen:
        print(f"warning: the fit saw {seen} of these {len(dataset)} image ids; the scores may flatter", file=sys.stderr)
    typer.echo(f"report: {out / 'report.html'}")
