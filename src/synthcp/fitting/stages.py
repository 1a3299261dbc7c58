"""The stages of a fit, each skipped when its result is on disk."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from synthcp.comparison.anomaly_fusion import cues_of, fit_fusion
from synthcp.comparison.siamese import SiameseNetwork
from synthcp.config.values import from_dict, to_dict
from synthcp.errors import InputError
from synthcp.fitting.context import Context
from synthcp.fitting.gathering import FOLDER, Gathered, gather
from synthcp.fitting.heads import CONTROL_HEADS, SHIPPED, SYNTHCP, UNTRAINED, UNTRAINED_GENERATOR, Head, control_path
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network, failure_comparator
from synthcp.monitor.settings import MonitorSettings
from synthcp.monitor.thresholds import fit_thresholds
from synthcp.nn.vgg import VGG19
from synthcp.segmentation.base import Predictor, Segmenter
from synthcp.synthesis.base import Generator
from synthcp.synthesis.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from synthcp.synthesis.losses import FeatureNetwork
from synthcp.system.files import load_json, load_module, load_tensors, save_json, save_module
from synthcp.system.runtime import seed_of
from synthcp.training.comparator import DIRECT, ComparatorConfig, ComparatorTraining, fit_score
from synthcp.training.gan import GanTraining
from synthcp.training.loop import forget_checkpoint, train
from synthcp.training.segmentation import SegmentationTraining

M, SCOUT = "segmenter", "scout"


class Stages:
    """One run of fit: each method is a stage, skipped when its result is on disk.

    Args:
        context: What the stages work on.
        brought: The M that somebody brought; None for the built-in one.
    """

    def __init__(self, context: Context, brought: Predictor | None) -> None:
        self.context = context
        self.settings = context.settings
        self.out = context.out
        self.runtime = context.runtime
        self.brought = brought

    def run(self) -> Monitor:
        """Run all stages, and leave nothing behind but the monitor."""
        monitor, _ = self.fitted()
        clear_up(self.out)
        return monitor

    def fitted(self) -> tuple[Monitor, Gathered]:
        """Run all stages; return the monitor, and the imperfect predictions from which F has learnt."""
        predictor = self.segmenter(M) if self.brought is None else self._placed(self.brought)
        segmenter = predictor if isinstance(predictor, Segmenter) else None
        scout = self.scout(segmenter)
        generators = {SYNTHCP: self.generator(scout or segmenter)}
        if self.context.options.controls:
            generators[UNTRAINED] = self.untrained_generator()
        gathered = gather(self.context, predictor, generators)
        network, settings = self.comparator(SHIPPED, gathered, segmenter, scout)
        if self.context.options.controls:
            for head in CONTROL_HEADS:
                self.comparator(head, gathered, segmenter, scout)
        monitor = Monitor(settings, predictor, generators[SYNTHCP], network, self.runtime)
        monitor.save(self.out)
        return monitor, gathered

    def _placed(self, predictor: Predictor) -> Predictor:
        if isinstance(predictor, Segmenter):
            self.runtime.place(predictor).eval().requires_grad_(False)
        return predictor

    def scout(self, segmenter: Segmenter | None) -> Segmenter | None:
        """The segmenter from whose trunk F's encoder starts, and by whose layers G's drawings are measured.

        M itself, if it is ours and has a trunk. Beside a brought M, whose trunk is of another kind or not there at all,
        one of our own is fitted, which judges nothing. None where F starts from scratch.
        """
        if not (self.settings.variant.starts_from_segmenter and self.settings.scale.depth == 18):
            return None
        if self.brought is None:
            return segmenter if hasattr(segmenter, "trunk") else None
        return self.segmenter(SCOUT)

    def segmenter(self, name: str) -> Segmenter:
        """The built-in segmenter, on all training images: M, or the scout of another M."""
        seed = self.context.seed
        torch.manual_seed(seed_of(seed, name))
        segmenter = self.runtime.place(self.context.new_segmenter())
        path = self.out / f"{name}.safetensors"
        if path.exists():
            load_module(path, segmenter)
            return segmenter.eval()
        config = self.settings.scale.segmentation
        training = SegmentationTraining(segmenter, self.context.dataset, config, self.runtime, seed)
        train(training, config.steps, self.out, name, seed, self.context.progress)
        save_module(path, segmenter)
        forget_checkpoint(self.out, name)
        return segmenter.eval()

    def generator(self, viewer: Segmenter | None, kind: str = "") -> Generator:
        """G against D, on ground-truth label maps (eq. 1-2).

        Args:
            viewer: By whose layers drawings are compared with images, unless VGG-19 was chosen.
            kind: One of GENERATORS, by default that of the monitor; another one's file has its name.
        """
        seed, dataset = self.context.seed, self.context.dataset
        stage = "generator" if kind in ("", self.settings.variant.generator) else kind
        torch.manual_seed(seed_of(seed, stage))
        generator = self.runtime.place(build_generator(self.settings, kind))
        path = self.out / f"{stage}.safetensors"
        if path.exists():
            load_module(path, generator)
            return generator.eval()
        settings, config = self.settings, self.settings.scale.gan
        width = settings.scale.discriminator_width
        judge = DiscriminatorConfig(len(settings.classes), settings.channels, width)
        discriminator = MultiScaleDiscriminator(settings.spatial_dims, judge)
        network = self._perceptual_network(viewer)
        training = GanTraining(generator, discriminator, network, dataset, config, self.runtime, seed)
        train(training, config.steps, self.out, stage, seed, self.context.progress, pictures=5)
        save_module(path, training.average)
        forget_checkpoint(self.out, stage)
        return training.average.eval()

    def _perceptual_network(self, viewer: Segmenter | None) -> FeatureNetwork | None:
        if self.context.options.vgg19 is not None:
            vgg = VGG19()
            vgg.load_weights(load_tensors(self.context.options.vgg19)[0])
            return self.runtime.place(vgg).eval().requires_grad_(False)
        if viewer is None or not viewer.differentiable:
            return None
        return viewer.requires_grad_(False).features

    def untrained_generator(self) -> Generator:
        """G as it was before training, for the control."""
        torch.manual_seed(seed_of(self.context.seed, "generator"))
        generator = self.runtime.place(build_generator(self.settings)).eval()
        save_module(control_path(self.out, UNTRAINED_GENERATOR), generator)
        return generator

    def comparator(
        self, head: Head, gathered: Gathered, segmenter: Segmenter | None, scout: Segmenter | None
    ) -> tuple[SiameseNetwork, MonitorSettings]:
        """F on one kind of drawing, and the settings with the score and the thresholds fitted to it (eq. 5-8)."""
        path, settings = head.path(self.out), head.settings(self.settings)
        settings = settings if gathered.have_doubt else _without_doubt(settings)
        seed = self.context.seed if head.seed is None else head.seed
        torch.manual_seed(seed_of(seed, "comparator"))
        network = self.runtime.place(build_network(settings))
        if path.with_suffix(".json").exists():
            fitted = from_dict(MonitorSettings, load_json(path.with_suffix(".json")))
            if fitted.variant != settings.variant:
                raise InputError(f"{path} was fitted as another variant; remove it, or choose another folder")
            load_module(path, network)
            return network.eval(), fitted
        if scout is not None and settings.variant.starts_from_segmenter:
            network.load_encoder(scout.get_submodule("trunk").state_dict())
        examples, aside = gathered.examples(
            head.drawing, keep_aside=settings.variant.score == "blend", early=bool(settings.variant.early_views)
        )
        config = _comparator_config(settings)
        training = ComparatorTraining(network, examples, config, self.runtime, seed)
        train(training, config.steps, self.out, path.stem, seed, self.context.progress)
        network = training.average.eval()
        if settings.variant.score == "blend":
            settings = replace(settings, blend=fit_score(network, aside, self.runtime, seed))
        # label maps are all equally sure, which says nothing of the usual anomaly: it takes M's own doubt
        judging = segmenter if gathered.have_doubt else None
        if settings.variant.anomaly == "fusion" and judging is not None and head.drawing != DIRECT:
            settings = replace(settings, fusion=fit_fusion(map(cues_of, aside.evidence())))
        judge = failure_comparator(settings, judging, network)
        settings = replace(settings, thresholds=fit_thresholds(judge, aside, self.runtime))
        save_module(path, network)
        save_json(path.with_suffix(".json"), to_dict(settings))
        forget_checkpoint(self.out, path.stem)
        return network, settings


def _without_doubt(settings: MonitorSettings) -> MonitorSettings:
    """What is left of a variant when F learns from label maps, which say nothing of M's doubt."""
    variant = replace(settings.variant, uses_doubt=False, label_input="one_hot", score="raw")
    return replace(settings, variant=variant)


def _comparator_config(settings: MonitorSettings) -> ComparatorConfig:
    variant = settings.variant
    config = replace(settings.scale.comparator, loss=variant.loss)
    config = config if variant.averaged else replace(config, average=0.0)
    return config if variant.augmented else replace(config, zoom=(1.0, 1.0), jitter=0.0)


def clear_up(out: Path) -> None:
    """Remove what only an unfinished run needs, and what a killed one left half written."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    for pattern in ("*.checkpoint.safetensors", ".*.safetensors.*.tmp", f"{SCOUT}.safetensors"):
        for path in out.rglob(pattern):
            path.unlink()
