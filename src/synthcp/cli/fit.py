"""synthcp fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from synthcp.cli.options import (
    BUILT_IN,
    YOURS,
    ComparatorTrunk,
    ComparatorWeights,
    DataSpec,
    Device,
    Features,
    Imperfect,
    Out,
    Perceptual,
    PerceptualWeights,
    Precision,
    Quiet,
    Scale,
    Seed,
    Threads,
    Trunk,
    use_threads,
)
from synthcp.cli.saying import say, warn
from synthcp.segmentation.catalogue import SEGMENTERS, default_model
from synthcp.synthesis.catalogue import GENERATORS
from synthcp.system.progress import Terminal, show_progress


def fit_verb(
    data: DataSpec,
    out: Out,
    variant: Annotated[str, typer.Option(metavar="NAME", help="What is computed: ours, paper or official.")] = "ours",
    scale: Scale = "small",
    model: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help=f"M: {BUILT_IN} (unless named, {default_model(2)} to images, {default_model(3)} to volumes), or "
            f"yours: {YOURS}.",
        ),
    ] = "",
    generator: Annotated[
        str,
        typer.Option(metavar="NAME", help=f"G: {', '.join(GENERATORS)}, or none; else the variant's."),
    ] = "",
    features: Features = "",
    imperfect: Imperfect = "",
    labels: Annotated[
        str,
        typer.Option(
            metavar="WHICH", help="given, or none: images alone; your M's predictions stand in, for unknown objects."
        ),
    ] = "given",
    train_cmd: Annotated[
        str,
        typer.Option(metavar="COMMAND", help="Of kfold: trains your model; with {train_list}, {val_list} and {out}."),
    ] = "",
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a fit that was broken off.")] = False,
    controls: Annotated[bool, typer.Option(help="Fit the controls of the tables too.")] = True,
    trunk: Trunk = "",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Published weights (safetensors, or hub) from which an M that is fitted here starts."
        ),
    ] = None,
    comparator_trunk: ComparatorTrunk = "",
    comparator_weights: ComparatorWeights = None,
    perceptual: Perceptual = "",
    perceptual_weights: PerceptualWeights = None,
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

    In turn: the segmenter M (unless you bring yours), the generator G, imperfect predictions of M, the comparator F,
    and the controls.
    """
    use_threads(threads)
    from synthcp.config.overrides import read_overrides
    from synthcp.data.check import check_labels
    from synthcp.data.specs import full_spec, open_dataset
    from synthcp.fitting.config import FitConfig, Labels
    from synthcp.fitting.imperfect_sources import Corrupt, parse_imperfect
    from synthcp.fitting.run import fit
    from synthcp.nn.spatial import dims_of
    from synthcp.segmentation.specs import OpenedModel, open_model
    from synthcp.system.provenance import command_line, commit

    data = full_spec(data)
    dataset = open_dataset(data)
    if not quiet:
        say(f"{len(dataset)} images, {len(dataset.classes)} classes: {', '.join(dataset.classes.names)}")
    probe = dataset[0].image[None]
    spatial_dims = dims_of(probe)
    model = model or default_model(spatial_dims)
    what, size = (variant, scale) if config is None else read_overrides(config, variant, scale, spatial_dims)
    unlabelled = "unseen" if labels == "none" else ""
    source = parse_imperfect(imperfect or unlabelled, data, built_in=model in SEGMENTERS, command=train_cmd)
    if isinstance(source, Corrupt):
        warn("warning: corrupted labels are not M's own mistakes; F learns the least from them")
    opened = model if model in SEGMENTERS else open_model(model, dataset.classes, probe, features)
    if isinstance(opened, OpenedModel) and not quiet:
        say(opened.settings.in_words())
    asked = FitConfig(
        what,
        size,
        seed=seed,
        controls=controls,
        resume=resume,
        device=device,
        precision=precision,
        generator=generator,
        trunk=trunk,
        comparator_trunk=comparator_trunk,
        comparator_weights=comparator_weights,
        perceptual=perceptual,
        perceptual_weights=perceptual_weights,
        model=opened,
        features=features,
        imperfect=source,
        labels=cast(Labels, labels),
        weights=weights,
    )
    if not (quiet or asked.has_published_trunk):
        say("F: trained from these images alone; heads on a published trunk (--comparator-trunk) see more, and sooner")
    if labels == "none":
        warn("without labels: unknown objects are found, and the error map is M's own uncertainty (1 - MSP)")
    # reads every image, so that all that is quicker is refused before
    absent = check_labels(dataset) if labels == "given" else ()
    if absent:
        told = f"without a pixel in the {len(dataset)} label maps, so that nothing is learnt of it"
        say(f"{told}: {', '.join(absent)}")
    facts = {"data": data, "imperfect": imperfect or str(source), "command": command_line(), "commit": commit()}
    with show_progress(Terminal(), quiet) as progress:
        monitor = fit(dataset, out, asked, progress=progress, facts=facts)
    if "gain" in monitor.settings.facts:
        say(f"errors are ranked: {monitor.settings.facts['gain']}")
    say(f"next: synthcp score IMAGES --monitor {out} --out out/{out.name}")
