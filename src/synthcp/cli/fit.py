"""synthcp fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from synthcp.cli.options import DataSpec, Device, Out, Precision, Quiet, Seed, Threads, use_threads
from synthcp.errors import InputError
from synthcp.progress import show_progress


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
    use_threads(threads)
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


def _vgg19(perceptual: str) -> Path | None:
    """The weights file of vgg19:FILE; None for the segmenter."""
    network, _, file = perceptual.partition(":")
    if network == "vgg19" and file:
        return Path(file)
    if perceptual != "segmenter":
        raise InputError(f"perceptual network {perceptual!r} is unknown; use segmenter or vgg19:FILE")
    return None
