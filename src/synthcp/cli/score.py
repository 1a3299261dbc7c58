"""synthcp score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthcp.cli import options
from synthcp.cli.exit_codes import ALARM, FINE, SOME_FAILED
from synthcp.cli.options import at_work, load_monitor
from synthcp.cli.saying import say, say_next, warn

if TYPE_CHECKING:
    from synthcp.monitor.calibration import Calibration
    from synthcp.monitor.monitor import Monitor
    from synthcp.report.rows import ResultRow


def score_verb(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT", help="Images and folders of images, or NIfTI files of volumes.")
    ],
    out: options.Out,
    monitor: Annotated[Path | None, options.FOLDER_OR_HUB] = None,
    model: options.Model = None,
    predictions: options.Predictions = None,
    trust_code: options.TrustCode = False,
    smiyc: Annotated[
        str,
        typer.Option(
            metavar="DATASET", help="Write score files for the SegmentMeIfYouCan toolkit, such as AnomalyTrack-test."
        ),
    ] = "",
    budget: Annotated[
        int | None,
        typer.Option(
            parser=options.MOST, metavar="K", help="Choose K images to annotate: bad ones, of different kinds."
        ),
    ] = None,
    shard: Annotated[
        str, typer.Option(metavar="i/n", help="Score part i of n, into a folder of its own; see synthcp merge.")
    ] = "1/1",
    maps: options.Maps = "png",
    report: options.Report = True,
    draw: Annotated[
        bool, typer.Option("--draw", help="Show G's drawing also where the monitor judges without it.")
    ] = False,
    batch: options.Batch = 1,
    resume: options.Resume = False,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = None,
    fail_on_alarm: Annotated[bool, typer.Option("--fail-on-alarm", help="Exit with 4 if an image alarms.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON lines, and no progress.")] = False,
    quiet: options.Quiet = False,
) -> int:
    """Score images that have no ground truth.

    Writes results.csv, regions.csv, maps/ and report.html. An image that cannot be scored is named in results.csv, and
    all others are scored.
    """
    with at_work(threads, quiet or as_json) as progress:
        from synthcp.verbs.checks import require_maps
        from synthcp.verbs.score import score

        if monitor is None:
            opened = _wrapped(model, inputs, device, precision)
        else:
            opened = load_monitor(monitor, model, predictions, device, precision, trust_code=trust_code)
        rows = score(
            opened,
            inputs,
            out,
            budget=budget,
            shard=shard,
            smiyc=smiyc,
            maps=require_maps(maps),
            report=report,
            draw=draw,
            batch=batch,
            resume=resume,
            progress=progress,
        )
    if monitor is not None:
        _warn_of_other_model(monitor, rows)
    settings = opened.settings
    if settings.calibration is not None:
        _warn_of_drift(settings.calibration, rows)
    options.tell_unused(opened)
    if as_json:
        _print_json(rows)
    else:
        alarms, decisions = sum(bool(row.alarms) for row in rows), [row.decision for row in rows]
        counts = f", {decisions.count('accept')} accepted, {decisions.count('review')} to review"
        decided = counts if any(decisions) else ""
        where = f"report: {out / 'report.html'}" if report else f"rows: {out / 'results.csv'}"
        say(f"{len(rows)} {settings.scored}, {alarms} with an alarm{decided}; {where}")
        if budget is not None:
            say(_choice(rows, out, budget, settings.scored))
        _say_next(monitor, model, calibrated=settings.calibration is not None)
    return _score_code(rows, out, fail_on_alarm, settings.scored)


def _say_next(monitor: Path | None, model: str | None, *, calibrated: bool) -> None:
    """What makes more of a monitor: a fit, then a promise."""
    if monitor is None:
        say_next("fit", "--data", "LABELLED", "--model", model)
    elif calibrated:
        say("next: open the report in a browser, worst image first")
    else:
        say_next("calibrate", "--data", "LABELLED", "--monitor", monitor)


OBSERVED = 20
"""Images, at most, that tell what is usual where nothing was fitted."""


def _wrapped(model: str | None, inputs: list[Path], device: str, precision: str) -> Monitor:
    """A monitor of an M that nothing was fitted to; what is usual it learns from the inputs."""
    from synthcp.errors import InputError
    from synthcp.monitor.inputs import find_inputs
    from synthcp.monitor.wrapped import NOTHING_FITTED, wrap

    if model is None:
        raise InputError("neither --monitor nor --model is named; give a folder that synthcp fit wrote, or any M")
    wrapped = wrap(model, device=device, precision=precision)
    paths = [input.paths[0] for input in find_inputs(inputs, wrapped.settings)]
    chosen = paths[:: -(-len(paths) // OBSERVED)]
    warn(f"{NOTHING_FITTED}; what is usual is read off {len(chosen)} of the images; synthcp fit finds errors")
    wrapped.observe(chosen)
    return wrapped


def _warn_of_drift(calibration: Calibration, rows: list[ResultRow]) -> None:
    """Say when the images are no longer like those of the calibration, so that its promise does not hold for them."""
    from synthcp.verbs.watch_drift import drift_of

    for drift in drift_of(calibration, rows):
        if drift.since is not None:
            warn(f"warning: the promise is in doubt; {drift.in_words()}; calibrate on images like these")


def _warn_of_other_model(folder: Path, rows: list[ResultRow]) -> None:
    """Say why nothing is decided, when the calibration of a monitor is about another M."""
    from synthcp.monitor.settings import load_settings

    calibration = load_settings(folder).calibration
    if calibration is not None and not any(row.decision for row in rows):
        told = f"the calibration is about {calibration.model}, not about this M, so nothing is decided"
        warn(f"warning: {told}; calibrate with the same --model")


def _choice(rows: list[ResultRow], out: Path, budget: int, scored: str) -> str:
    """What became of the budget."""
    good = sum(row.status == "ok" for row in rows)
    few = f" (all that could be scored, fewer than {budget})" if good < budget else ""
    return f"{min(budget, good)} {scored} to annotate{few}: {out / 'annotate.txt'}"


def _print_json(rows: list[ResultRow]) -> None:
    from synthcp.report.rows import row_values

    for row in rows:
        print(json.dumps(row_values(row)))


def _score_code(rows: list[ResultRow], out: Path, fail_on_alarm: bool, scored: str) -> int:
    """Failures count more than alarms: of an image that failed nobody knows whether it would alarm."""
    alarmed = ALARM if fail_on_alarm and any(row.alarms for row in rows) else FINE
    return failures_code(rows, out, scored) or alarmed


def failures_code(rows: list[ResultRow], out: Path, scored: str) -> int:
    """Say how many rows tell of a failure, if one does; return the exit code."""
    failed = [row for row in rows if row.status == "error"]
    if not failed:
        return FINE
    told = f"{len(failed)} of {len(rows)} {scored} failed, see {out / 'results.csv'}"
    warn(f"{told}; the first: {failed[0].message}")
    return SOME_FAILED
