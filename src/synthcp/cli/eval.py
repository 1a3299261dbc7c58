"""synthcp eval."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from synthcp.cli import options
from synthcp.cli.options import at_work, load_monitor, tell_failed
from synthcp.cli.saying import say, say_next, warn
from synthcp.system.progress import Terminal


def eval_verb(
    monitor: options.MonitorFolder,
    data: options.DataSpec,
    out: options.Out,
    split: options.Split = "test",
    detectors: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Detectors to compare; by default all.")
    ] = None,
    protocols: Annotated[
        str,
        typer.Option(
            metavar="A,B,C",
            help="Protocols of anomaly segmentation: pooled, caos, fishyscapes, smiyc or smiyc-obstacle.",
        ),
    ] = "pooled,caos",
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the tables and settings for a document too.")
    ] = None,
    maps: options.Maps = "png",
    report: options.Report = True,
    batch: options.Batch = 1,
    resume: options.Resume = False,
    model: options.Model = None,
    predictions: options.Predictions = None,
    trust_code: options.TrustCode = False,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> int:
    """Compare detectors and controls with ground truth.

    Prints the tables and writes metrics.json, results.csv, regions.csv, maps/ and report.html.
    """
    with at_work(threads, quiet) as progress:
        from synthcp.report.tables import to_markdown, to_rich
        from synthcp.system.files import save_text
        from synthcp.system.output_folder import changing
        from synthcp.verbs.checks import require_maps, seen_in_fitting
        from synthcp.verbs.evaluate import evaluate
        from synthcp.verbs.facts import FAILED
        from synthcp.verbs.given import open_data

        dataset, facts = open_data(data, split)
        opened = load_monitor(monitor, model, predictions, device, precision, trust_code=trust_code)
        results = evaluate(
            opened,
            dataset,
            out,
            detectors=None if detectors is None else detectors.split(","),
            protocols=protocols.split(","),
            facts=facts,
            maps=require_maps(maps),
            report=report,
            batch=batch,
            resume=resume,
            progress=progress,
        )
    for table in to_rich(results):
        Terminal().print(table)
    if markdown is not None:
        with changing(out) if markdown.resolve().is_relative_to(out.resolve()) else nullcontext():
            save_text(markdown, f"# Results on {facts['data'].partition(':')[0]}\n\n{to_markdown(results)}")
    options.tell_unused(opened)
    seen = seen_in_fitting(dataset, opened.settings.training_ids)
    if seen:
        warn(f"warning: the fit saw {seen} of these {len(dataset)} image ids; the scores may flatter")
    say(f"report: {out / 'report.html'}" if report else f"rows: {out / 'results.csv'}")
    _say_next(opened.settings.calibration is None, monitor)
    return tell_failed(results.settings.get(FAILED, ""), opened.settings.scored)


def _say_next(uncalibrated: bool, monitor: Path) -> None:
    """A monitor is calibrated before it decides."""
    if uncalibrated:
        say_next("calibrate", "--monitor", monitor, "--data", "SPEC")
    else:
        say_next("score", "IMAGES", "--monitor", monitor, "--out", Path("out") / monitor.name)
