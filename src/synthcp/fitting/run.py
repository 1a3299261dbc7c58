"""fit(data, out) -> Monitor: M, then G, then M's imperfect predictions, then F and its controls."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from synthcp import __version__
from synthcp.config.values import save_record
from synthcp.data.base import Dataset
from synthcp.data.check import check_labels
from synthcp.data.working_size import require_whole
from synthcp.errors import InputError
from synthcp.fitting.begun import Begun, asked_of, taken_up
from synthcp.fitting.config import FitConfig
from synthcp.fitting.context import Context, at_working_size, perceptual_trunk, start_encoder, start_segmenter
from synthcp.fitting.imperfect_sources import CHOICES, Folds, HeldOut, KFold, Unseen
from synthcp.fitting.self_labelled import SelfLabelled
from synthcp.fitting.stages import Stages
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_network
from synthcp.monitor.settings import MonitorSettings
from synthcp.nn.spatial import dims_of
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.catalogue import SEGMENTERS, check_trunk_of, default_model
from synthcp.segmentation.saved import SavedPredictions
from synthcp.segmentation.settings import ModelSettings
from synthcp.segmentation.specs import OpenedModel, open_model
from synthcp.system.lock import locked
from synthcp.system.progress import Progress, silent
from synthcp.system.run_folder import CONFIG, SETTINGS, clear_up
from synthcp.system.runtime import Runtime, choose_runtime
from synthcp.training.imperfect_predictions import assign_folds, crossfit_folds

UNLABELLED = "none: G learnt from M's predictions; the error map is M's own uncertainty, no mistake of it was seen"
"""Fact of a monitor that was fitted without labels."""


def fit(
    data: Dataset,
    out: str | Path,
    config: FitConfig | None = None,
    *,
    progress: Progress = silent,
    facts: dict[str, str] | None = None,
) -> Monitor:
    """Fit a monitor.

    Args:
        data: Images, labelled unless the labels are said to be none; synthcp.data.check.check_labels tells whether they
            will do.
        out: Folder of the run.
        config: What is asked.
        progress: Called after every step of every stage.
        facts: Kept with the monitor, for the report.

    Raises:
        InputError: The folder holds another run or is being written by one, or the data or options are unusable.
    """
    with locked(Path(out)):
        return _fitted(data, Path(out), config or FitConfig(), progress, facts)


def _fitted(data: Dataset, out: Path, config: FitConfig, progress: Progress, facts: dict[str, str] | None) -> Monitor:
    if not (out / SETTINGS).exists():
        return begin(data, out, config, progress=progress, facts=facts).run()
    opened = _opened(data, out, config, facts or {})  # resumed although finished, or killed while clearing up
    clear_up(out)
    return Monitor.load(out, config.device, opened.runtime.precision, opened.brought)


def begin(
    data: Dataset,
    out: Path,
    config: FitConfig,
    *,
    progress: Progress = silent,
    facts: dict[str, str] | None = None,
) -> Stages:
    """Begin a fit, or take up a broken-off one, for a caller who runs its stages; arguments and errors as fit."""
    opened = _opened(data, out, config, facts or {})
    small = at_working_size(_labelled(data, config, opened), opened.settings, progress)
    context = Context(opened.settings, data, small, out, opened.runtime, config, progress)
    return Stages(context, None if opened.brought is None else opened.brought.predictor)


def _labelled(data: Dataset, config: FitConfig, opened: Opened) -> Dataset:
    """The images with what G shall take for true."""
    if config.labels == "given":
        return data
    assert opened.brought is not None and isinstance(opened.brought.predictor, Segmenter)  # else it was refused
    return SelfLabelled(data, opened.brought.predictor, opened.runtime)


@dataclass(frozen=True)
class Opened:
    """A run of which all that can be refused has been.

    Attributes:
        brought: The M that somebody brought; None for the built-in one.
        settings: Of the monitor to be.
        runtime: Where the networks run.
    """

    brought: OpenedModel | None
    settings: MonitorSettings
    runtime: Runtime


def _opened(data: Dataset, out: Path, config: FitConfig, facts: dict[str, str]) -> Opened:
    require_whole(data[0])  # by which a model is tried
    brought = None if config.fits_model else _brought(data, config)
    new = not (out / CONFIG).exists()
    if new:
        _check_predictions(data, config, brought)
    settings = _settings(data, config, _built_in(data, config) if brought is None else brought.settings, facts)
    if not new:
        begun = taken_up(out, config, settings)
        return Opened(brought, begun.settings, choose_runtime(config.device, begun.precision))
    runtime = choose_runtime(config.device, config.precision)
    _check_weights_and_folds(data, config, settings)
    where = {"precision": runtime.precision, "threads": str(torch.get_num_threads())}
    settings = replace(settings, facts=settings.facts | where)
    save_record(out / CONFIG, Begun(asked_of(config, settings), settings, runtime.precision))
    return Opened(brought, settings, runtime)


def _built_in(data: Dataset, config: FitConfig) -> ModelSettings:
    """What is stored of the M that is fitted here."""
    probe = data[0].image[None]
    name = default_model(dims_of(probe)) if config.model == "" else str(config.model)
    note = f"starts from {config.weights}" if config.weights else ""
    if config.trunk:
        check_trunk_of(name, config.trunk)
    size = tuple(probe.shape[2:])
    return ModelSettings(name, layers=SEGMENTERS[name].layers, probe_size=size, note=note, trunk=config.trunk)


def _brought(data: Dataset, config: FitConfig) -> OpenedModel:
    """The M that somebody brought."""
    opened = open_model(config.model, data.classes, data[0].image[None], config.features)
    if isinstance(config.source, KFold) and not config.source.command:
        spec = opened.settings.spec
        raise InputError(f"F needs predictions of images that {spec} has not seen; name them: {CHOICES}")
    if config.labels == "none":
        _check_unlabelled(data, opened)
    return opened


def _check_unlabelled(data: Dataset, opened: OpenedModel) -> None:
    """Refuse what tells nothing without labels."""
    if not isinstance(opened.predictor, Segmenter):
        raise InputError(
            f"without labels the error map is M's own uncertainty, of which {opened.settings.spec}, predictions on "
            "disk, need not tell; give the model itself"
        )
    if len(data) < 2:
        raise InputError("1 image is too few: one at least is learnt from and one tells what is usual; add others")


def _check_predictions(data: Dataset, config: FitConfig, brought: OpenedModel | None) -> None:
    """Tell of predictions on disk that are missing or unusable now, not after G was trained."""
    if isinstance(config.source, Folds):
        _read(SavedPredictions(config.source.folder, data.classes, dims_of(data[0].image[None])), data)
    if brought is None or not isinstance(brought.predictor, SavedPredictions):
        return
    if isinstance(config.source, HeldOut | Unseen):
        _read(brought.predictor, config.source.dataset if isinstance(config.source, HeldOut) else data)


def _read(predictions: SavedPredictions, dataset: Dataset) -> None:
    predictions.require(dataset.ids)
    for sample in dataset:
        predictions.predict(sample.id, sample.image[None])


def _settings(data: Dataset, config: FitConfig, model: ModelSettings, facts: dict[str, str]) -> MonitorSettings:
    """The settings of the monitor to be."""
    image, variant = data[0].image[None], config.chosen_variant()
    scale, seen = config.chosen_scale(dims_of(image)), list(data.ids)
    if isinstance(config.source, HeldOut):
        _check_held_out(data, config.source.dataset, fewest=2 if variant.score == "blend" else 1)
        seen += config.source.dataset.ids
    return MonitorSettings(
        classes=data.classes,
        channels=image.shape[1],
        spatial_dims=dims_of(image),
        variant=variant,
        scale=scale,
        encoder=config.comparator_trunk,
        model=model,
        facts=facts | _facts(config, model),
        training_ids=tuple(seen),
        preparation=data.preparation,
    )


def _check_weights_and_folds(data: Dataset, config: FitConfig, settings: MonitorSettings) -> None:
    """Refuse weights that do not fit, and folds that the images cannot make, now, not after G was trained."""
    if config.trunk or config.weights is not None:
        start_segmenter(settings, config.weights)
    if config.comparator_trunk:
        start_encoder(build_network(settings), config.comparator_trunk, config.comparator_weights)
    if config.perceptual_source[0]:
        perceptual_trunk(settings, config)
    if isinstance(config.source, Unseen) and config.source.crossfit:
        crossfit_folds(data.groups, settings.scale.folds)
    if isinstance(config.source, KFold):
        rule = settings.variant.fold_rule
        groups = data.groups if rule == "group" else [""] * len(data)  # images may have to be read for them
        assign_folds(groups, config.source.folds or settings.scale.folds, rule)


def _check_held_out(data: Dataset, held_out: Dataset, fewest: int) -> None:
    if len(held_out) < fewest:
        raise InputError(f"{held_out.ids[0]} alone is too little for F, which is tried on images set aside; add others")
    if held_out.classes.names != data.classes.names:
        names = ", ".join(held_out.classes.names)
        raise InputError(f"the held-out images have the classes {names}; they must be those of the training images")
    both = sorted(set(held_out.ids) & set(data.ids))
    if both:
        raise InputError(f"{both[0]} is both a training and a held-out image; F must learn from images M has not seen")
    trained, came = len(data[0].image), len(held_out[0].image)
    if trained != came:
        raise InputError(f"the training images have {trained} channels, the held-out ones {came}; convert them")
    check_labels(held_out)


def _facts(config: FitConfig, model: ModelSettings) -> dict[str, str]:
    return {
        "model": model.spec + (f" ({told})" if (told := "; ".join(filter(None, (model.trunk, model.note)))) else ""),
        "imperfect predictions": str(config.source),
        **({"labels": UNLABELLED} if config.labels == "none" else {}),
        "variant": config.variant if isinstance(config.variant, str) else "own",
        "scale": config.scale if isinstance(config.scale, str) else "own",
        "seed": str(config.seed),
        **_trunks(config),
        "versions": f"synthcp {__version__}, torch {torch.__version__}, python {platform.python_version()}",
    }


def _trunks(config: FitConfig) -> dict[str, str]:
    """The trunks of F and of G's loss where they were chosen, with their weights."""
    chosen = {
        "trunk of F": (config.comparator_trunk, config.comparator_weights),
        "perceptual loss by": config.perceptual_source,
    }
    told = {what: (trunk, f" from {weights}" if weights else "") for what, (trunk, weights) in chosen.items()}
    return {what: trunk + source for what, (trunk, source) in told.items() if trunk}
