"""synthcp eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from synthcp.cli import options
from synthcp.cli.options import at_work, load_monitor
from synthcp.cli.saying import say, warn


def eval_verb(
    monitor: options.MonitorFolder,
    data: options.DataSpec,
    out: options.Out,
    split: options.Split = "test",
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
    model: options.Model = None,
    predictions: options.Predictions = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> None:
    """Compare detectors and controls with ground truth.

    Prints the tables and writes metrics.json, results.csv, regions.csv, maps/ and report.html.
    """
    with at_work(threads, quiet) as progress:
        from synthcp.report.outputs import write_text
        from synthcp.report.tables import to_markdown, to_rich
        from synthcp.verbs.checks import seen_in_fitting
        from synthcp.verbs.evaluate import evaluate
        from synthcp.verbs.given import open_data

        dataset, facts = open_data(data, split)
        opened = load_monitor(monitor, model, predictions, device, precision)
        results = evaluate(
            opened,
            dataset,
            out,
            detectors=None if detectors is None else detectors.split(","),
            protocols=protocols.split(","),
            facts=facts,
            progress=progress,
        )
    for table in to_rich(results):
        Console().print(table)
    if markdown is not None:
        write_text(markdown, f"# Results on {data.partition(':')[0]}\n\n{to_markdown(results)}")
    seen = seen_in_fitting(dataset, opened.settings.training_ids)
    if seen:
        warn(f"warning: the fit saw {seen} of these {len(dataset)} image ids; the scores may flatter")
    say(f"report: {out / 'report.html'}")
