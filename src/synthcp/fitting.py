"""fit(dataset, out) -> Monitor: M, then G, then M's imperfect predictions by folds, then F and its controls."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from synthcp import __version__
from synthcp.checkpoint import load_json, load_module, load_tensors, save_json, save_module
from synthcp.config import SCALES, VARIANTS, Scale, Variant, choose, from_dict, to_dict
from synthcp.controls import CONTROLS, UNTRAINED, UNTRAINED_GENERATOR, control_path
from synthcp.data.base import Dataset
from synthcp.data.prepared import Prepared
from synthcp.detection.siamese import SiameseNetwork
from synthcp.errors import InputError
from synthcp.monitor import (
    SETTINGS,
    Monitor,
    MonitorSettings,
    build_generator,
    build_network,
    build_segmenter,
    failure_comparator,
)
from synthcp.nn.vgg import VGG19
from synthcp.runtime import Runtime, choose_runtime, seed_of
from synthcp.segmentation.base import Segmenter
from synthcp.synthesis.base import Generator
from synthcp.synthesis.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from synthcp.synthesis.losses import FeatureNetwork
from synthcp.thresholds import fit_thresholds
from synthcp.training.comparator import ComparatorConfig, ComparatorTraining, ImperfectExamples, fit_score
from synthcp.training.crossfit import ImperfectPredictions, Subset, assign_folds
from synthcp.training.gan import GanTraining
from synthcp.training.loop import Progress, forget_checkpoint, silent, train
from synthcp.training.segmentation import SegmentationTraining

CONFIG = "config.json"
SYNTHCP = "synthcp"
"""Name of the trained generator's drawings."""


@dataclass(frozen=True)
class FitOptions:
    """What a user may choose.

    Attributes:
        variant: "ours", "paper" or "official", or a Variant.
        scale: "tiny", "small" or "full", or a Scale.
        seed: Of everything random.
        controls: Whether direct prediction and SynthCP with an untrained generator are fitted too.
        resume: Continue a run that was interrupted.
        device: "auto", "cpu", "cuda", ...
        precision: "auto", "fp32" or "bf16".
        vgg19: File of VGG-19's weights for G's perceptual loss; None takes M's own trunk.
    """

    variant: str | Variant = "ours"
    scale: str | Scale = "small"
    seed: int = 0
    controls: bool = True
    resume: bool = False
    device: str = "auto"
    precision: str = "auto"
    vgg19: Path | None = None


def fit(
    dataset: Dataset,
    out: Path,
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
    options = options or FitOptions()
    settings, runtime = _settings(dataset, out, options, facts or {})
    if (out / SETTINGS).exists():  # resumed although finished, or killed while clearing up
        _clear_up(out)
        return Monitor.load(out, options.device, runtime.precision)
    prepared = Prepared(dataset, settings.scale.side, lambda step, steps: progress("read", step, steps, {}))
    return _Run(settings, prepared, out, runtime, options, progress).run()


def _settings(
    dataset: Dataset, out: Path, options: FitOptions, facts: dict[str, str]
) -> tuple[MonitorSettings, Runtime]:
    scale = choose(SCALES, options.scale, "scale") if isinstance(options.scale, str) else options.scale
    variant = choose(VARIANTS, options.variant, "variant") if isinstance(options.variant, str) else options.variant
    image = dataset[0].image
    settings = MonitorSettings(
        classes=dataset.classes,
        channels=image.shape[0],
        spatial_dims=2 if image.ndim == 3 else 3,
        variant=variant,
        scale=scale,
        facts=facts | _facts(options),
        training_ids=tuple(dataset.ids),
    )
    path = out / CONFIG
    if path.exists():
        return _resumed(settings, path, options)
    runtime = choose_runtime(options.device, options.precision)
    save_json(path, {"settings": to_dict(settings), "precision": runtime.precision, "threads": torch.get_num_threads()})
    return settings, runtime


def _resumed(settings: MonitorSettings, path: Path, options: FitOptions) -> tuple[MonitorSettings, Runtime]:
    if not options.resume:
        raise InputError(f"{path.parent} holds a run already; continue it with --resume or choose another folder")
    saved: dict[str, Any] = load_json(path)
    begun = from_dict(MonitorSettings, saved["settings"])
    for name in ("classes", "channels", "variant", "scale", "training_ids"):
        if getattr(begun, name) != getattr(settings, name):
            raise InputError(f"{path.parent} was begun with other {name}; resume with the same data and options")
    if begun.facts.get("seed") != settings.facts.get("seed"):
        raise InputError(f"{path.parent} was begun with seed {begun.facts.get('seed')}; resume with the same seed")
    return begun, choose_runtime(options.device, saved["precision"])


def _facts(options: FitOptions) -> dict[str, str]:
    return {
        "variant": options.variant if isinstance(options.variant, str) else "own",
        "scale": options.scale if isinstance(options.scale, str) else "own",
        "seed": str(options.seed),
        "versions": f"synthcp {__version__}, torch {torch.__version__}, python {platform.python_version()}",
    }


def _clear_up(out: Path) -> None:
    """Remove what only an unfinished run needs, and what a killed one left half written."""
    shutil.rmtree(out / "imperfect", ignore_errors=True)
    for pattern in ("*.checkpoint.safetensors", ".*.safetensors.*.tmp"):
        for path in out.rglob(pattern):
            path.unlink()


class _Run:
    """One run of fit: each method is a stage, skipped when its result is on disk."""

    def __init__(
        self,
        settings: MonitorSettings,
        dataset: Prepared,
        out: Path,
        runtime: Runtime,
        options: FitOptions,
        progress: Progress,
    ) -> None:
        self.settings = settings
        self.dataset = dataset
        self.out = out
        self.runtime = runtime
        self.options = options
        self.seed = options.seed
        self.progress = progress
        self.imperfect = ImperfectPredictions(out / "imperfect")
        self.views = (*(f"early{share:g}" for share in settings.variant.early_views), "last")

    def run(self) -> Monitor:
        """Run all stages."""
        segmenter = self.segmenter()
        generators = {SYNTHCP: self.generator(segmenter)}
        if self.options.controls:
            generators[UNTRAINED] = self.untrained_generator()
        self.folds(generators)
        network, settings = self.comparator(self.out / "comparator.safetensors", segmenter, SYNTHCP)
        if self.options.controls:
            for name in CONTROLS:
                self.comparator(control_path(self.out, name), segmenter, name)
        monitor = Monitor(settings, segmenter, generators[SYNTHCP], network, self.runtime)
        monitor.save(self.out)
        _clear_up(self.out)
        return monitor

    def segmenter(self) -> Segmenter:
        """M, on all training images."""
        torch.manual_seed(seed_of(self.seed, "segmenter"))
        segmenter = self.runtime.place(build_segmenter(self.settings))
        path = self.out / "segmenter.safetensors"
        if path.exists():
            load_module(path, segmenter)
            return segmenter.eval()
        config = self.settings.scale.segmentation
        training = SegmentationTraining(segmenter, self.dataset, config, self.runtime, self.seed)
        train(training, config.steps, self.out, "segmenter", self.seed, self.progress)
        save_module(path, segmenter)
        forget_checkpoint(self.out, "segmenter")
        return segmenter.eval()

    def generator(self, segmenter: Segmenter) -> Generator:
        """G against D, on ground-truth label maps (eq. 1-2)."""
        torch.manual_seed(seed_of(self.seed, "generator"))
        generator = self.runtime.place(build_generator(self.settings))
        path = self.out / "generator.safetensors"
        if path.exists():
            load_module(path, generator)
            return generator.eval()
        settings, scale = self.settings, self.settings.scale
        judge = DiscriminatorConfig(len(settings.classes), settings.channels, scale.discriminator_width)
        discriminator = MultiScaleDiscriminator(settings.spatial_dims, judge)
        network = self._perceptual_network(segmenter)
        training = GanTraining(generator, discriminator, network, self.dataset, scale.gan, self.runtime, self.seed)
        train(training, scale.gan.steps, self.out, "generator", self.seed, self.progress, pictures=5)
        save_module(path, training.average)
        forget_checkpoint(self.out, "generator")
        return training.average.eval()

    def _perceptual_network(self, segmenter: Segmenter) -> FeatureNetwork:
        if self.options.vgg19 is None:
            return segmenter.requires_grad_(False).features
        vgg = VGG19()
        vgg.load_weights(load_tensors(self.options.vgg19)[0])
        return self.runtime.place(vgg).eval().requires_grad_(False)

    def untrained_generator(self) -> Generator:
        """G as it was before training, for the control."""
        torch.manual_seed(seed_of(self.seed, "generator"))
        generator = self.runtime.place(build_generator(self.settings)).eval()
        save_module(control_path(self.out, UNTRAINED_GENERATOR), generator)
        return generator

    def folds(self, generators: dict[str, Generator]) -> None:
        """Imperfect predictions of every image by an M of another fold, and drawings of them."""
        fold_of = assign_folds(self.dataset.groups, self.settings.scale.folds, self.settings.variant.fold_rule)
        for fold in range(self.settings.scale.folds):
            held_out = [index for index, other in enumerate(fold_of) if other == fold]
            if not all(self.imperfect.path(view, index).exists() for view in self.views for index in held_out):
                self._fold(f"fold{fold}", held_out, generators)

    def _fold(self, name: str, held_out: Sequence[int], generators: dict[str, Generator]) -> None:
        torch.manual_seed(seed_of(self.seed, name))
        segmenter = build_segmenter(self.settings)
        seen = Subset(self.dataset, sorted(set(range(len(self.dataset))) - set(held_out)))
        scale = self.settings.scale
        config = replace(scale.segmentation, steps=max(1, round(scale.segmentation.steps * scale.fold_steps)))
        training = SegmentationTraining(segmenter, seen, config, self.runtime, seed_of(self.seed, name))
        for view, share in zip(self.views, (*self.settings.variant.early_views, 1.0), strict=True):
            train(training, max(1, round(config.steps * share)), self.out, name, self.seed, self.progress)
            segmenter.eval()
            for number, index in enumerate(held_out):
                image = self.dataset[index].image
                self.imperfect.write(view, index, image, segmenter, generators, self.runtime)
                self.progress(f"{name} {view} predictions", number + 1, len(held_out), {})

    def _examples(self, drawing: str) -> tuple[ImperfectExamples, ImperfectExamples]:
        """Examples to train F on, and those kept aside for its score and thresholds (all, where no score is fitted)."""
        indices = list(range(len(self.dataset)))
        examples = ImperfectExamples(self.dataset, self.imperfect, self.views, indices, drawing)
        if self.settings.variant.score != "blend":
            return examples, replace(examples, views=self.views[-1:])
        block = assign_folds(self.dataset.groups, min(6, len(indices)), "dealt", runs=2)
        aside = [index for index in indices if block[index] == max(block)]
        trained = [index for index in indices if block[index] != max(block)]
        return replace(examples, indices=trained), replace(examples, views=self.views[-1:], indices=aside)

    def comparator(self, path: Path, segmenter: Segmenter, drawing: str) -> tuple[SiameseNetwork, MonitorSettings]:
        """F on one kind of drawing, and the settings with the score and the thresholds fitted to it (eq. 5-8)."""
        torch.manual_seed(seed_of(self.seed, "comparator"))
        network = self.runtime.place(build_network(self.settings))
        if path.with_suffix(".json").exists():
            load_module(path, network)
            return network.eval(), from_dict(MonitorSettings, load_json(path.with_suffix(".json")))
        if self.settings.variant.starts_from_segmenter and self.settings.scale.depth == 18:
            network.load_encoder(segmenter.get_submodule("trunk").state_dict())
        examples, aside = self._examples(drawing)
        config, name = self._comparator_config(), path.stem
        training = ComparatorTraining(network, examples, config, self.runtime, self.seed)
        train(training, config.steps, self.out, name, self.seed, self.progress)
        network = training.average.eval()
        settings = self.settings
        if settings.variant.score == "blend":
            settings = replace(settings, blend=fit_score(network, aside, self.runtime, self.seed))
        judge = failure_comparator(settings, segmenter, network)
        settings = replace(settings, thresholds=fit_thresholds(judge, aside, self.runtime))
        save_module(path, network)
        save_json(path.with_suffix(".json"), to_dict(settings))
        forget_checkpoint(self.out, name)
        return network, settings

    def _comparator_config(self) -> ComparatorConfig:
        variant = self.settings.variant
        config = replace(self.settings.scale.comparator, loss=variant.loss)
        config = config if variant.averaged else replace(config, average=0.0)
        return config if variant.augmented else replace(config, zoom=(1.0, 1.0), jitter=0.0)
