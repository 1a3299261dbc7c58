"""synthcp fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from synthcp.cli import options
from synthcp.cli.exit_codes import BAD_INPUT, FINE
from synthcp.cli.saying import say, say_next, warn
from synthcp.segmentation.catalogue import SEGMENTERS, default_model
from synthcp.synthesis.catalogue import GENERATORS
from synthcp.system.progress import Terminal, show_progress
from synthcp.system.run_folder import RUNS, usual_folder

if TYPE_CHECKING:
    from synthcp.doctor.base import Scope
    from synthcp.fitting.config import FitConfig


def fit_verb(
    data: options.DataSpec,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write; by default runs/ and the name of the data.")
    ] = None,
    variant: Annotated[str, typer.Option(metavar="NAME", help="What is computed: ours, paper or official.")] = "ours",
    scale: options.Scale = "small",
    model: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help=f"M: {options.BUILT_IN} (by default {default_model(2)} for images, {default_model(3)} for volumes), "
            f"or yours: {options.YOURS}.",
        ),
    ] = "",
    generator: Annotated[
        str,
        typer.Option(metavar="NAME", help=f"G: {', '.join(GENERATORS)} or none; by default that of the variant."),
    ] = "",
    features: options.Features = "",
    imperfect: options.Imperfect = "",
    labels: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="given; or none, for images alone: predictions of your M stand in, and unknown objects are found.",
        ),
    ] = "given",
    train_cmd: Annotated[
        str,
        typer.Option(
            metavar="COMMAND", help="Command by which kfold trains your model, with {train_list}, {val_list} and {out}."
        ),
    ] = "",
    seed: options.Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a fit that was broken off.")] = False,
    controls: Annotated[bool, typer.Option(help="Fit the controls of the tables, or leave them out.")] = True,
    trunk: options.Trunk = "",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Published weights (safetensors, or hub) from which an M that is fitted here starts."
        ),
    ] = None,
    comparator_trunk: options.ComparatorTrunk = "",
    comparator_weights: options.ComparatorWeights = None,
    perceptual: options.Perceptual = "",
    perceptual_weights: options.PerceptualWeights = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what would be fitted, how long it takes and on how much disk; fit nothing."
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help='JSON file with single settings, such as {"scale": {"gan": {"steps": 500}}}.'
        ),
    ] = None,
) -> int:
    """Fit a monitor on labelled images.

    In turn: the segmenter M (unless you bring yours), the generator G, imperfect predictions of M, the comparator F,
    and the controls.
    """
    options.use_threads(threads)
    from synthcp.config.overrides import read_overrides
    from synthcp.data.check import check_labels
    from synthcp.data.specs import full_spec, name_of, open_dataset
    from synthcp.doctor.base import Scope
    from synthcp.fitting.begun import require_free
    from synthcp.fitting.config import FitConfig, Labels
    from synthcp.fitting.imperfect_sources import Corrupt, parse_imperfect
    from synthcp.fitting.run import fit
    from synthcp.nn.spatial import dims_of
    from synthcp.segmentation.specs import OpenedModel, open_model
    from synthcp.system.provenance import command_line, commit

    data = full_spec(data)
    dataset = open_dataset(data)
    if out is None:
        out = usual_folder(RUNS, name_of(data), resume=resume)
        say(f"no --out is given; the run goes to {out}")
    require_free(out, resume)
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
    if dry_run:
        scope = Scope(
            data=data,
            model=model,
            features=features,
            scale=scale,
            variant=variant,
            config=str(config or ""),
            out=str(out),
            device=device,
        )
        return _dry_run(asked, scope)
    facts = {"data": data, "imperfect": imperfect or str(source), "command": command_line(), "commit": commit()}
    with show_progress(Terminal(), quiet) as progress:
        monitor = fit(dataset, out, asked, progress=progress, facts=facts)
    if "gain" in monitor.settings.facts:
        say(f"errors are ranked: {monitor.settings.facts['gain']}")
    say_next("score", "IMAGES", "--monitor", out, "--out", Path("out") / out.name)
    return FINE


def _dry_run(asked: FitConfig, scope: Scope) -> int:
    """Say what a fit would do and cost; return the exit code."""
    from synthcp.doctor.cost import check_cost
    from synthcp.doctor.plan import in_words, untried

    say(in_words(asked, scope))
    findings = check_cost(scope) if asked.labels == "given" else []
    for finding in findings:
        say("; ".join(filter(None, (f"{finding.name}: {finding.what}", finding.remedy))))
    told = untried(asked, scope) if findings else "what it costs is tried with labels only"
    if told:
        say(told)
    say("nothing was written; next: the same command without --dry-run")
    return BAD_INPUT if any(finding.state == "bad" for finding in findings) else FINE
