"""fit(dataset, out) -> Monitor: M, then G, then M's imperfect predictions, then F and its controls."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from synthcp import __version__
from synthcp.config.scales import scales
from synthcp.config.values import choose, from_dict, to_dict
from synthcp.config.variants import VARIANTS
from synthcp.data.base import Dataset
from synthcp.data.check import check_labels
from synthcp.errors import InputError
from synthcp.fitting.context import Context, at_working_size, start_segmenter
from synthcp.fitting.imperfect import CHOICES, Folds, HeldOut, Imperfect, KFold
from synthcp.fitting.options import FitOptions
from synthcp.fitting.stages import Stages, clear_up
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.settings import SETTINGS, MonitorSettings
from synthcp.nn.spatial import dims_of
from synthcp.segmentation.base import Predictor
from synthcp.segmentation.catalogue import SEGMENTERS, default_model
from synthcp.segmentation.saved import SavedPredictions
from synthcp.segmentation.settings import ModelSettings
from synthcp.segmentation.specs import OpenedModel, open_model
from synthcp.system.files import load_json, save_json
from synthcp.system.runtime import Runtime, choose_runtime
from synthcp.training.crossfit import assign_folds
from synthcp.training.loop import Progress, silent

CONFIG = "config.json"


def fit(
    dataset: Dataset,
    out: str | Path,
    options: FitOptions | None = None,
    progress: Progress = silent,
    facts: dict[str, str] | None = None,
) -> Monitor:
    """Fit a monitor.

    Args:
        dataset: Labelled images; synthcp.data.check.check_labels tells whether it will do.
        out: Folder of the run.
        options: What a user may choose.
        progress: Called after every step of every stage.
        facts: Kept with the monitor, for the report.

    Raises:
        InputError: The folder holds another run, or the data or options are unusable.
    """
    out, options = Path(out), options or FitOptions()
    if not (out / SETTINGS).exists():
        return begin(dataset, out, options, progress, facts).run()
    opened, _, runtime = _opened(dataset, out, options, facts)  # resumed although finished, or killed while clearing up
    clear_up(out)
    return Monitor.load(out, options.device, runtime.precision, opened)


def begin(
    dataset: Dataset,
    out: Path,
    options: FitOptions,
    progress: Progress = silent,
    facts: dict[str, str] | None = None,
) -> Stages:
    """Begin a fit, or take up a broken-off one, for a caller who runs its stages; arguments and errors as fit."""
    opened, settings, runtime = _opened(dataset, out, options, facts)
    small = at_working_size(dataset, settings, progress)
    context = Context(settings, dataset, small, out, runtime, options, progress)
    return Stages(context, None if opened is None else opened.predictor)


def _opened(
    dataset: Dataset, out: Path, options: FitOptions, facts: dict[str, str] | None
) -> tuple[OpenedModel | None, MonitorSettings, Runtime]:
    """The M that somebody brought, the settings of the run, and where it runs; all that can be refused is by now."""
    _check(options)
    predictor, model = _model(dataset, options)
    if not (out / CONFIG).exists():
        _check_predictions(dataset, options.imperfect, predictor)
    settings, runtime = _settings(dataset, out, options, model, facts or {})
    return None if predictor is None else OpenedModel(predictor, model), settings, runtime


def _check(options: FitOptions) -> None:
    if not isinstance(options.imperfect, Imperfect | None):
        raise InputError(f"imperfect={options.imperfect!r}; give KFold(), HeldOut(dataset), Folds(folder) or Corrupt()")
    if options.features and options.fits_model:
        raise InputError("features say where f_M is in a model that you bring; for the built-in one leave them out")
    if options.vgg19 is not None and not options.vgg19.is_file():
        raise InputError(f"{options.vgg19}: no such file; give the weights of VGG-19 as safetensors")


def _model(dataset: Dataset, options: FitOptions) -> tuple[Predictor | None, ModelSettings]:
    """The M that somebody brought, None for the built-in one, and what is stored of it."""
    probe = dataset[0].image[None]
    chosen = default_model(dims_of(probe)) if options.model == "" else options.model
    if isinstance(chosen, str) and chosen in SEGMENTERS:
        note = f"starts from {options.weights}" if options.weights else ""
        return None, ModelSettings(
            chosen, layers=SEGMENTERS[chosen].layers, probe_size=tuple(probe.shape[2:]), note=note
        )
    predictor, model = open_model(chosen, dataset.classes, probe, options.features)
    if options.imperfect is None or (isinstance(options.imperfect, KFold) and not options.imperfect.command):
        raise InputError(f"F needs predictions of images that {model.spec} has not seen; name them: {CHOICES}")
    return predictor, model


def _check_predictions(dataset: Dataset, imperfect: Imperfect | None, predictor: Predictor | None) -> None:
    """Tell of predictions on disk that are missing or unusable now, not after G was trained."""
    if isinstance(imperfect, Folds):
        dims = dims_of(dataset[0].image[None])
        _read(SavedPredictions(imperfect.folder, dataset.classes, dims), dataset)
    if isinstance(imperfect, HeldOut) and isinstance(predictor, SavedPredictions):
        _read(predictor, imperfect.dataset)


def _read(predictions: SavedPredictions, dataset: Dataset) -> None:
    predictions.require(dataset.ids)
    for sample in dataset:
        predictions.predict(sample.id, sample.image[None])


def _settings(
    dataset: Dataset, out: Path, options: FitOptions, model: ModelSettings, facts: dict[str, str]
) -> tuple[MonitorSettings, Runtime]:
    image = dataset[0].image[None]
    sizes = scales(dims_of(image))
    scale = choose(sizes, options.scale, "scale") if isinstance(options.scale, str) else options.scale
    variant = choose(VARIANTS, options.variant, "variant") if isinstance(options.variant, str) else options.variant
    if isinstance(options.imperfect, KFold):
        variant = replace(variant, fold_rule=options.imperfect.rule or variant.fold_rule)
    seen = list(dataset.ids)
    if isinstance(options.imperfect, HeldOut):
        _check_held_out(dataset, options.imperfect.dataset, fewest=2 if variant.score == "blend" else 1)
        seen += options.imperfect.dataset.ids
    settings = MonitorSettings(
        classes=dataset.classes,
        channels=image.shape[1],
        spatial_dims=dims_of(image),
        variant=variant,
        scale=scale,
        model=model,
        facts=facts | _facts(options, model),
        training_ids=tuple(seen),
        preparation=dataset.preparation,
    )
    path = out / CONFIG
    if path.exists():
        return _resumed(settings, path, options)
    if options.weights is not None:  # what does not fit is refused before there is a run
        start_segmenter(settings, options.weights)
    runtime = choose_runtime(options.device, options.precision)
    where = {"precision": runtime.precision, "threads": str(torch.get_num_threads())}
    settings = replace(settings, facts=settings.facts | where)
    _check_folds(dataset, options.imperfect or KFold(), settings)
    save_json(path, {"settings": to_dict(settings), "precision": runtime.precision})
    return settings, runtime


def _check_folds(dataset: Dataset, imperfect: Imperfect, settings: MonitorSettings) -> None:
    """Refuse folds that the images cannot make now, not after G was trained."""
    if isinstance(imperfect, KFold):
        rule = settings.variant.fold_rule
        groups = dataset.groups if rule == "group" else [""] * len(dataset)  # images may have to be read for them
        assign_folds(groups, imperfect.folds or settings.scale.folds, rule)


def _check_held_out(dataset: Dataset, held_out: Dataset, fewest: int) -> None:
    if len(held_out) < fewest:
        raise InputError(f"{held_out.ids[0]} alone is too little for F, which is tried on images set aside; add others")
    if held_out.classes.names != dataset.classes.names:
        names = ", ".join(held_out.classes.names)
        raise InputError(f"the held-out images have the classes {names}; they must be those of the training images")
    both = sorted(set(held_out.ids) & set(dataset.ids))
    if both:
        raise InputError(f"{both[0]} is both a training and a held-out image; F must learn from images M has not seen")
    trained, came = len(dataset[0].image), len(held_out[0].image)
    if trained != came:
        raise InputError(f"the training images have {trained} channels, the held-out ones {came}; convert them")
    check_labels(held_out)


def _resumed(settings: MonitorSettings, path: Path, options: FitOptions) -> tuple[MonitorSettings, Runtime]:
    if not options.resume:
        raise InputError(f"{path.parent} holds a run already; continue it with --resume or choose another folder")
    saved: dict[str, Any] = load_json(path)
    begun = from_dict(MonitorSettings, saved["settings"])
    for name in ("classes", "channels", "model", "training_ids", "variant", "scale", "preparation"):
        if getattr(begun, name) != getattr(settings, name):
            raise InputError(f"{path.parent} was begun with other {name}; resume with the same data and options")
    for name in ("seed", "imperfect predictions"):
        then = begun.facts.get(name, settings.facts[name])  # a run of an older release may not tell
        if then != settings.facts[name]:
            raise InputError(f"{path.parent} was begun with {name} {then}; resume with the same {name}")
    return begun, choose_runtime(options.device, saved["precision"])


def _facts(options: FitOptions, model: ModelSettings) -> dict[str, str]:
    return {
        "model": model.spec + (f" ({model.note})" if model.note else ""),
        "imperfect predictions": str(options.imperfect or KFold()),
        "variant": options.variant if isinstance(options.variant, str) else "own",
        "scale": options.scale if isinstance(options.scale, str) else "own",
        "seed": str(options.seed),
        "versions": f"synthcp {__version__}, torch {torch.__version__}, python {platform.python_version()}",
    }
