"""synthcp reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthcp.cli import options
from synthcp.cli.saying import say, say_next
from synthcp.segmentation.catalogue import SEGMENTERS
from synthcp.system.progress import Terminal, show_progress
from synthcp.system.run_folder import SETTINGS

NAMES = (
    "table1 (failure detection), table2 (failure detection in volumes), table3 (anomaly segmentation) or table4 "
    "(SynthCP's threshold t)"
)


def reproduce_verb(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=f"Table of the paper: {NAMES}.")],
    data: options.DataSpec,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the fitted runs and of the table; by default out/TABLE, or out/anomaly."
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            help="Images to judge on; may be given several times; by default the split test of the data.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(parser=options.whole(1, 1000), metavar="N", help="Number of seeds: 0, 1, ...")
    ] = 3,
    only: Annotated[
        int | None,
        typer.Option(
            parser=options.SEEDS,
            metavar="N",
            help="Fit and judge this seed alone and write no table, where the other seeds run elsewhere.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help=f"M: {options.BUILT_IN} (by default deeplab and fcn8 in table1, a U-Net for volumes, else pspnet), or "
            f"yours: {options.YOURS}.",
        ),
    ] = "",
    features: options.Features = "",
    imperfect: options.Imperfect = "",
    trunk: options.Trunk = "",
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL=FILE", help="Published weights from which an M starts; may be given once for each M."
        ),
    ] = None,
    comparator_trunk: options.ComparatorTrunk = "",
    comparator_weights: options.ComparatorWeights = None,
    perceptual: options.Perceptual = "",
    perceptual_weights: options.PerceptualWeights = None,
    scale: options.Scale = "small",
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table here too.")] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> None:
    """Run a table of the paper: every row, every control, over several seeds.

    What is fitted stays in the folder: a run that was broken off goes on, and table4 takes the runs of table3.
    """
    options.use_threads(threads)
    from synthcp.config.values import choose
    from synthcp.data.specs import full_spec, open_dataset
    from synthcp.experiments.request import TableRequest
    from synthcp.experiments.tables import TABLES, reproduce
    from synthcp.fitting.config import FitConfig
    from synthcp.fitting.imperfect_sources import parse_imperfect
    from synthcp.segmentation.specs import open_model
    from synthcp.system.files import save_text

    chosen, data = choose(TABLES, table, "table"), full_spec(data)
    dataset = open_dataset(data)
    built_in = model in ("", *SEGMENTERS)
    fit = FitConfig(
        scale=scale,
        device=device,
        precision=precision,
        model=model if built_in else open_model(model, dataset.classes, dataset[0].image[None], features),
        features=features,
        imperfect=parse_imperfect(imperfect, data, built_in),
        trunk=trunk,
        comparator_trunk=comparator_trunk,
        comparator_weights=comparator_weights,
        perceptual=perceptual,
        perceptual_weights=perceptual_weights,
    )
    out = out or Path("out") / chosen.folder
    request = TableRequest(data, out, tuple(map(full_spec, test or ())), fit, seeds, only, _by_model(weights or []))
    with show_progress(Terminal(), quiet) as progress:
        page = reproduce(chosen, request, progress)
    if markdown is not None and only is None:
        save_text(markdown, page)
    for line in page.splitlines():
        say(line)
    _say_next(table, data, out, only)


def _say_next(table: str, data: str, out: Path, only: int | None) -> None:
    """Table 4 takes the runs of table 3; every run is a monitor."""
    runs = sorted(path.parent for path in out.rglob(SETTINGS))
    if only is not None:
        say("next: the same command without --only, when the other seeds are fitted too")
    elif table == "table3":
        say_next("reproduce", "table4", "--data", data, "--out", out)
    elif runs:
        say_next("score", "IMAGES", "--monitor", runs[0], "--out", Path("out") / runs[0].name)


def _by_model(weights: list[str]) -> dict[str, str]:
    """The files of --weights by the names of their models."""
    from synthcp.errors import InputError

    pairs = [text.partition("=") for text in weights]
    for model, _, file in pairs:
        if not (model and file):
            raise InputError(f"--weights {model or file!r} names no model or no file; write MODEL=FILE")
    return {model: file for model, _, file in pairs}
