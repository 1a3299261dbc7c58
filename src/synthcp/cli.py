"""The program `synthcp`. Torch is imported inside the verbs, so that help is instant."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from synthcp import __version__
from synthcp.errors import InputError, SynthCPError
from synthcp.progress import show_progress

if TYPE_CHECKING:
    from synthcp.report.rows import Row

FINE, INTERNAL_ERROR, BAD_INPUT, SOME_FAILED, ALARM, INTERRUPTED = 0, 1, 2, 3, 4, 130

app = typer.Typer(add_completion=False, rich_markup_mode=None)

DataSpec = Annotated[str, typer.Option("--data", metavar="SPEC", help="folder:ROOT, camvid:ROOT or scenes:?count=40.")]
MonitorFolder = Annotated[Path, typer.Option("--monitor", metavar="RUN", help="Folder that synthcp fit wrote.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Of everything random.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, ...")]
Precision = Annotated[str, typer.Option(metavar="NAME", help="auto, fp32 or bf16; auto measures which is faster.")]
Threads = Annotated[int | None, typer.Option(min=1, metavar="N", help="Of the CPU; by default one per core.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def main() -> None:
    """Run the program."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads that spin slow each other down
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; every failure is one line on stderr."""
    try:
        with typer.main.get_command(app).make_context("synthcp", arguments) as context:
            return int(context.command.invoke(context) or FINE)
    except typer.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("SYNTHCP_DEBUG") == "1":
            raise
        message, code = _explain(error)
        print(" ".join(message.split()), file=sys.stderr)
        return code


def _explain(error: BaseException) -> tuple[str, int]:
    """The line and the exit code that an error ends with."""
    if isinstance(error, typer.TyperException):
        return f"error: {error.format_message()} (see --help)", BAD_INPUT
    if isinstance(error, SynthCPError | OSError):
        return f"error: {error}", BAD_INPUT
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; a fit goes on where it stopped when its command is given again with --resume", INTERRUPTED
    problem = f"{type(error).__name__}: {error}"
    return f"internal error: {problem}; set SYNTHCP_DEBUG=1 to see the traceback", INTERNAL_ERROR


@app.callback(invoke_without_command=True)
def program(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """An alarm system for semantic segmentation: where the model is wrong, and what it has never seen.

    Exit codes: 0 fine, 1 internal error, 2 usage or bad input, 3 some inputs failed, 4 an alarm under --fail-on-alarm.
    """
    if version:
        typer.echo(f"synthcp {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("demo", epilog="Example: synthcp demo --out runs/demo")
def demo_verb(out: Out = Path("runs/demo"), seed: Seed = 0, threads: Threads = None, quiet: Quiet = False) -> None:
    """Fit and evaluate on drawn streets; there is nothing to download."""
    _use_threads(threads or 1)  # its networks are so small that a second thread costs more than it brings
    from synthcp.demo import demo
    from synthcp.report.tables import summary

    console = Console()
    with show_progress(console, quiet) as progress:
        results, report = demo(out, seed, progress)
    console.print(summary(results))
    typer.echo(f"report: {report}")


@app.command("fit", epilog="Example: synthcp fit --data folder:street --out runs/a")
def fit_verb(
    data: DataSpec,
    out: Out,
    variant: Annotated[str, typer.Option(metavar="NAME", help="What is computed: ours, paper or official.")] = "ours",
    scale: Annotated[str, typer.Option(metavar="NAME", help="How big it is: tiny, small or full.")] = "small",
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a fit that was broken off.")] = False,
    controls: Annotated[bool, typer.Option(help="Fit the controls of the tables too.")] = True,
    perceptual: Annotated[
        str, typer.Option(metavar="NETWORK", help="For G's loss: segmenter, or vgg19:FILE.")
    ] = "segmenter",
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='JSON with single settings, such as {"scale": {"gan": {"steps": 500}}}.'),
    ] = None,
) -> None:
    """Fit a monitor on labelled images.

    In turn: the segmenter M, the generator G, M again by folds, the comparator F, and the controls.
    """
    _use_threads(threads)
    from synthcp.data.check import check_labels
    from synthcp.data.specs import open_dataset
    from synthcp.fitting.options import FitOptions
    from synthcp.fitting.run import fit
    from synthcp.overrides import read_overrides
    from synthcp.provenance import command_line, commit

    dataset = open_dataset(data)
    check_labels(dataset)
    chosen = (variant, scale) if config is None else read_overrides(config, variant, scale)
    options = FitOptions(*chosen, seed, controls, resume, device, precision, _vgg19(perceptual))
    facts = {"data": data, "command": command_line(), "commit": commit()}
    with show_progress(Console(), quiet) as progress:
        fit(dataset, out, options, progress, facts)
    typer.echo(f"next: synthcp score IMAGES --monitor {out} --out out/{out.name}")


@app.command("score", epilog="Example: synthcp score images/ --monitor runs/a --out out/images")
def score_verb(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="Images and folders of images.")],
    monitor: MonitorFolder,
    out: Out,
    shard: Annotated[str, typer.Option(metavar="i/n", help="Score part i of n, into a folder of its own.")] = "1/1",
    device: Device = "auto",
    precision: Precision = "fp32",
    threads: Threads = None,
    fail_on_alarm: Annotated[bool, typer.Option("--fail-on-alarm", help="Exit with 4 if an image alarms.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON lines, and no progress.")] = False,
    quiet: Quiet = False,
) -> int:
    """Score images that have no ground truth.

    Writes results.csv, maps/ and report.html. An image that cannot be scored is named in results.csv, and all others
    are scored.
    """
    _use_threads(threads)
    from synthcp.scoring import Shard, score

    with show_progress(Console(), quiet or as_json) as progress:
        rows = score(inputs, monitor, out, Shard.parse(shard), device, precision, progress)
    if as_json:
        _print_json(rows)
    else:
        alarms = sum(bool(row.alarms) for row in rows)
        typer.echo(f"{len(rows)} images, {alarms} with an alarm; report: {out / 'report.html'}")
    return _score_code(rows, out, fail_on_alarm)


@app.command("eval", epilog="Example: synthcp eval --monitor runs/a --data folder:street --out out/a")
def eval_verb(
    monitor: MonitorFolder,
    data: DataSpec,
    out: Out,
    split: Annotated[str, typer.Option(metavar="NAME", help="Which images of the data.")] = "test",
    detectors: Annotated[str | None, typer.Option(metavar="A,B,C", help="Which detectors; by default all.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the tables and settings for a document too.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Compare detectors and controls with ground truth.

    Prints the tables and writes metrics.json, results.csv, maps/ and report.html.
    """
    _use_threads(threads)
    from synthcp.data.specs import open_dataset, split_of
    from synthcp.monitor import load_settings
    from synthcp.report.outputs import write_text
    from synthcp.report.tables import to_markdown, to_rich
    from synthcp.scoring import evaluate_run, seen_in_fitting

    dataset = open_dataset(data, split)
    names = None if detectors is None else detectors.split(",")
    facts = {"data": data, "split": split_of(data, split)}
    console = Console()
    with show_progress(console, quiet) as progress:
        results = evaluate_run(monitor, dataset, out, names, facts, device, precision, progress)
    for table in to_rich(results):
        console.print(table)
    if markdown is not None:
        write_text(markdown, f"# Results on {data.partition(':')[0]}\n\n{to_markdown(results)}")
    seen = seen_in_fitting(dataset, load_settings(monitor).training_ids)
    if seen:
        print(f"warning: the fit saw {seen} of these {len(dataset)} image ids; the scores may flatter", file=sys.stderr)
    typer.echo(f"report: {out / 'report.html'}")


@app.command("report", epilog="Example: synthcp report out/images")
def report_verb(out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that score or eval wrote.")]) -> None:
    """Write the report of an output folder again."""
    from synthcp.report.html import write_report

    typer.echo(f"report: {write_report(out)}")


def _use_threads(threads: int | None) -> None:
    import torch

    torch.set_num_threads(threads or os.cpu_count() or 1)


def _vgg19(perceptual: str) -> Path | None:
    """The weights file of vgg19:FILE; None for the segmenter."""
    network, _, file = perceptual.partition(":")
    if network == "vgg19" and file:
        return Path(file)
    if perceptual != "segmenter":
        raise InputError(f"perceptual network {perceptual!r} is unknown; use segmenter or vgg19:FILE")
    return None


def _print_json(rows: list[Row]) -> None:
    for row in rows:
        values = json.loads(json.dumps(asdict(row)), parse_constant=lambda _: None)  # NaN is not JSON, null is
        print(json.dumps(values))


def _score_code(rows: list[Row], out: Path, fail_on_alarm: bool) -> int:
    """Failures count more than alarms: of an image that failed nobody knows whether it would alarm."""
    failed = [row for row in rows if row.status == "error"]
    if failed:
        line = f"{len(failed)} of {len(rows)} images failed, see {out / 'results.csv'}; the first: {failed[0].message}"
        print(line, file=sys.stderr)
        return SOME_FAILED
    return ALARM if fail_on_alarm and any(row.alarms for row in rows) else FINE
