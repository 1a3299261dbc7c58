"""The options that several verbs share, and what they do.

A verb takes its options by the names of the Python function that it calls, and passes them on by these names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthcp.cli.exit_codes import FINE, SOME_FAILED
from synthcp.cli.saying import warn
from synthcp.errors import InputError, SynthCPError, shortened
from synthcp.nn.catalogue import TRUNK_NAMES
from synthcp.segmentation.catalogue import SEGMENTERS
from synthcp.system.progress import Progress, Terminal, show_progress
from synthcp.system.spec import PREDICTIONS

if TYPE_CHECKING:
    from synthcp.monitor.monitor import Monitor


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers of a range; an option has no use for larger ones."""

    def parse(text: str) -> int:
        digits = str(text).strip()
        if not re.fullmatch(r"[0-9]{1,20}", digits) or not low <= int(digits) <= high:
            raise typer.BadParameter(f"{shortened(digits)} is no whole number from {low} to {high}")
        return int(digits)

    return parse


SEEDS, MOST, CORES = whole(0, 2**32 - 1), whole(1, 1_000_000), whole(1, 1024)

BUILT_IN = f"{', '.join(SEGMENTERS)}, fitted here"
YOURS = "hf:DIR, onnx:FILE, preds:DIR, tv:NAME, smp:NAME, file.py:factory or pkg.mod:factory"
DataSpec = Annotated[
    str,
    typer.Option(
        "--data", metavar="SPEC", help="A folder, KIND:FOLDER or scenes:?count=40, with options: see docs/data.md."
    ),
]
Split = Annotated[str, typer.Option(metavar="NAME", help="Split of the data that is read.")]


def monitor_folder(text: str) -> Path:
    """Return the folder of a monitor, of one on the hub that of the files that were fetched."""
    from synthcp.system.hub import HUB, fetch
    from synthcp.system.run_folder import MONITOR_FILES

    try:  # a path with a slip in it must not ask the network
        return fetch(text, MONITOR_FILES) if str(text).startswith(HUB) else Path(text)
    except SynthCPError as error:
        raise typer.BadParameter(str(error)) from error


def own_folder(text: str) -> Path:
    """Return the folder of a monitor that is written to, which is none of the hub's."""
    from synthcp.system.hub import HUB

    if str(text).startswith(HUB):
        raise typer.BadParameter(f"{text} is on the hub, and this is written to a folder; load and save it first")
    return Path(text)


FOLDER_OR_HUB = typer.Option(
    "--monitor", parser=monitor_folder, metavar="RUN", help="Folder that synthcp fit wrote, or hub:OWNER/NAME."
)
MonitorFolder = Annotated[Path, FOLDER_OR_HUB]
OwnMonitor = Annotated[
    Path, typer.Option("--monitor", parser=own_folder, metavar="RUN", help="Folder that synthcp fit wrote.")
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="SPEC",
        help=f"Another M in place of the monitor's own: {YOURS}.",
    ),
]
Predictions = Annotated[
    Path | None,
    typer.Option("--predictions", metavar="DIR", help="Predictions of M on disk; the same as --model preds:DIR."),
]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Run the code that the monitor names as its M, such as file.py:factory.")
]
Features = Annotated[
    str, typer.Option(metavar="MODULE", help="Module of M whose input is f_M; by default it is found.")
]
Imperfect = Annotated[
    str,
    typer.Option(
        metavar="SOURCE",
        help="Predictions of M that F learns from: kfold:4 (by default, for an M that is fitted here; "
        "kfold:4?rule=group keeps groups whole), heldout[:SPEC] (by default, for yours), unseen (yours has seen none "
        "of --data), folds:DIR or corrupt.",
    ),
]
Scale = Annotated[
    str, typer.Option(metavar="NAME", help="Size of the networks and of their training: tiny, small or full.")
]
Trunk = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"Trunk of an M that is fitted here: {', '.join(TRUNK_NAMES)}; by default the ResNet of the scale.",
    ),
]
ComparatorTrunk = Annotated[
    str, typer.Option(metavar="NAME", help="Trunk of F's encoder; by default that of M, or the ResNet-18 of the scale.")
]
ComparatorWeights = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Published weights (safetensors, or hub) from which that trunk starts."),
]
Perceptual = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Network by which G's loss compares images: segmenter (the layers of M), or a trunk such as vgg19; by "
        "default the trunk of F if it has published weights, else segmenter.",
    ),
]
PerceptualWeights = Annotated[
    str | None, typer.Option(metavar="FILE", help="Published weights (safetensors, or hub) of that trunk.")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")]
Seed = Annotated[int, typer.Option(parser=SEEDS, metavar="N", help="Seed of every random number.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="Device that computes: auto, cpu, cuda and others of torch.")]
Precision = Annotated[
    str, typer.Option(metavar="NAME", help="Precision: auto, fp32 or bf16; auto measures which is faster.")
]
Threads = Annotated[
    int | None,
    typer.Option(parser=CORES, metavar="N", help="Number of CPU threads; by default one for each usable core."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where this same command was interrupted.")]
Maps = Annotated[
    str, typer.Option(metavar="KIND", help="Form of the maps: png, npz (arrays instead of pictures) or none.")
]
Report = Annotated[bool, typer.Option(help="Write report.html, or leave it out.")]
Batch = Annotated[
    int,
    typer.Option(parser=MOST, metavar="N", help="Largest number of images of one size that the networks see at once."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def tell_failed(failed: str, scored: str) -> int:
    """Say how many inputs failed and why the first did, if one did; return the exit code."""
    if not failed:
        return FINE
    warn(f"{scored} that could not be judged: {failed}")
    return SOME_FAILED


def load_monitor(
    folder: Path, model: str | None, predictions: Path | None, device: str, precision: str, *, trust_code: bool
) -> Monitor:
    """Load a monitor, with the M that takes the place of its own if one is named.

    Raises:
        InputError: Two M are named, or there is no such monitor or M.
    """
    from synthcp.monitor.monitor import Monitor

    return Monitor.load(folder, device, precision, other_model(model, predictions), trust_code=trust_code)


def other_model(model: str | None, predictions: Path | None) -> str | None:
    """Return the SPEC of the M that takes the place of a monitor's own; raises InputError when two are named."""
    if model is not None and predictions is not None:
        raise InputError("--model and --predictions both name M; give one of them")
    return model if predictions is None else f"{PREDICTIONS}:{predictions}"


def use_threads(threads: int | None) -> None:
    """Set the number of threads of the CPU."""
    import torch

    from synthcp.system.runtime import usable_cores

    torch.set_num_threads(threads or usable_cores())


def tell_unused(monitor: Monitor) -> None:
    """Say how many predictions on disk belong to no image that was asked for."""
    from synthcp.segmentation.saved import SavedPredictions

    saved = monitor.predictor
    if isinstance(saved, SavedPredictions) and saved.unused:
        told = f"{len(saved.unused)} of {len(saved.files)} predictions belong to none of these images"
        warn(f"note: {told}, such as {saved.unused[0]}")


@contextmanager
def at_work(threads: int | None, quiet: bool) -> Iterator[Progress]:
    """Give the callable that shows progress, with the number of threads set."""
    use_threads(threads)
    with show_progress(Terminal(), quiet) as progress:
        yield progress
