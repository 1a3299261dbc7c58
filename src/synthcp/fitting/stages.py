"""The stages of a fit, each skipped when its result is on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from synthcp.comparison.anomaly_fusion import cues_of, fit_fusion
from synthcp.comparison.catalogue import UNCERTAINTY
from synthcp.comparison.feature_head import FeatureHead
from synthcp.comparison.network import ComparisonNetwork
from synthcp.config.variants import Variant
from synthcp.data.base import Dataset
from synthcp.data.subset import Subset
from synthcp.errors import InputError
from synthcp.fitting.context import Context, perceptual_trunk, start_encoder
from synthcp.fitting.fit_once import fit_once, fitted_once
from synthcp.fitting.gain import gain_of
from synthcp.fitting.gathering import Gathered, Generators, gather
from synthcp.fitting.heads import (
    CONTROL_HEADS,
    SYNTHCP,
    UNTRAINED,
    UNTRAINED_GENERATOR,
    Head,
    control_path,
    shipped_head,
)
from synthcp.monitor.fitted_comparator import FittedComparator
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network, encoder_is_trunk
from synthcp.monitor.settings import Learnt, MonitorSettings
from synthcp.monitor.thresholds import fit_thresholds
from synthcp.segmentation.base import Predictor, Segmenter
from synthcp.synthesis.base import Generator
from synthcp.synthesis.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from synthcp.synthesis.losses import FeatureNetwork
from synthcp.system.files import save_module
from synthcp.system.run_folder import AUXILIARY, COMPARATOR, GENERATOR, SEGMENTER, clear_up, learnt_path
from synthcp.system.runtime import Runtime, seed_of
from synthcp.system.telling import tell
from synthcp.training.comparator import DIRECT, ComparatorConfig, ComparatorTraining, ImperfectExamples, fit_score
from synthcp.training.feature_head import FeatureHeadTraining
from synthcp.training.gan import GanConfig, GanTraining
from synthcp.training.segmentation import SegmentationTraining

M = SEGMENTER


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
        predictor = self.predictor()
        segmenter = predictor if isinstance(predictor, Segmenter) else None
        auxiliary = self.auxiliary(segmenter)
        viewer = auxiliary or segmenter
        generators = self.generators(viewer)
        refit = partial(self.refitted, generators, viewer)
        gathered = gather(self.context, predictor, generators, refit)
        shipped = self.comparator(shipped_head(self.settings), gathered, segmenter, auxiliary)
        controls = CONTROL_HEADS if UNTRAINED in generators else ()
        fitted = {head.name: self.comparator(head, gathered, segmenter, auxiliary) for head in controls}
        shipped, facts = self._cheaper(gathered, shipped, fitted[DIRECT]) if fitted else (shipped, {})
        facts = self.settings.facts | facts | self._gain(gathered, shipped)
        settings = replace(self.settings, variant=shipped.variant, learnt=shipped.learnt, facts=facts)
        monitor = Monitor(settings, predictor, generators.get(SYNTHCP), shipped.network, self.runtime)
        monitor.save(self.out)
        return monitor, gathered

    def generators(self, viewer: Segmenter | None) -> dict[str, Generator]:
        """G and that of the control; none for a monitor that draws nothing, and so is its own control."""
        if not self.settings.variant.draws:
            return {}
        trained = {SYNTHCP: self.generator(viewer)}
        controlled = self.context.config.controls and self.settings.variant.loss.teaches
        return {**trained, UNTRAINED: self.untrained_generator()} if controlled else trained

    def predictor(self) -> Predictor:
        """M, fitted or brought."""
        predictor = self.segmenter(M) if self.brought is None else self.brought
        if isinstance(predictor, Segmenter):
            self.runtime.place(predictor).eval().requires_grad_(False)
        return predictor

    def auxiliary(self, segmenter: Segmenter | None) -> Segmenter | None:
        """The segmenter from whose trunk F's encoder starts, and by whose layers G's syntheses are measured.

        M itself, if it is ours and has a trunk. Beside a brought M, whose trunk is of another kind or not there at all,
        an auxiliary one of our own is fitted, which judges nothing. None where F starts from scratch.
        """
        if not encoder_is_trunk(self.settings):
            return None
        if self.brought is None:
            return segmenter if hasattr(segmenter, "trunk") else None
        return self.segmenter(AUXILIARY)

    def segmenter(self, name: str) -> Segmenter:
        """The built-in segmenter, on all training images: M, or the auxiliary one beside another M."""
        context, config = self.context, self.settings.scale.segmentation
        return fitted_once(
            context,
            name,
            context.new_segmenter,
            lambda network: SegmentationTraining(network, context.dataset, config, self.runtime, context.seed),
            config.steps,
        )

    def generator(self, viewer: Segmenter | None, kind: str = "") -> Generator:
        """G against D, on ground-truth label maps (eq. 1-2).

        Args:
            viewer: By whose layers syntheses are compared with images, unless VGG-19 was chosen.
            kind: One of synthesis.catalogue.GENERATORS; empty takes the monitor's. Any other one lies in a file of its
                name.
        """
        settings, kind = self.settings, kind or self.settings.variant.generator
        config = settings.scale.gan
        return fitted_once(
            self.context,
            GENERATOR if kind == settings.variant.generator else kind,
            lambda: build_generator(settings, kind),
            lambda network: self._gan_training(network, config, viewer, self.context.dataset),
            config.steps,
        )

    def refitted(
        self, generators: Generators, viewer: Segmenter | None, fold: str, held_out: Sequence[int]
    ) -> Generators:
        """Fit generators by these names without the training images of a fold; an untrained one stays."""
        own = {SYNTHCP: self.settings.variant.generator}
        trained = {name: own.get(name, name) for name in generators if name != UNTRAINED}
        return {**generators, **{name: self._without(kind, viewer, fold, held_out) for name, kind in trained.items()}}

    def _without(self, kind: str, viewer: Segmenter | None, fold: str, held_out: Sequence[int]) -> Generator:
        """G that has not seen some of the images."""
        config, everything = self.settings.scale.gan, self.context.dataset
        seen = Subset(everything, sorted(set(range(len(everything))) - set(held_out)))
        return fitted_once(
            self.context,
            f"{fold}-{kind}",
            lambda: build_generator(self.settings, kind),
            lambda network: self._gan_training(network, config, viewer, seen),
            config.steps,
        )

    def _gan_training(
        self, generator: Generator, config: GanConfig, viewer: Segmenter | None, dataset: Dataset
    ) -> GanTraining:
        settings, context = self.settings, self.context
        judge = DiscriminatorConfig(len(settings.classes), settings.channels, settings.scale.discriminator_width)
        return GanTraining(
            generator,
            dataset,
            config,
            self.runtime,
            context.seed,
            discriminator=MultiScaleDiscriminator(settings.spatial_dims, judge),
            perceptual_network=self._perceptual_network(viewer),
        )

    def _perceptual_network(self, viewer: Segmenter | None) -> FeatureNetwork | None:
        if self.context.config.perceptual_source[0]:
            trunk = perceptual_trunk(self.settings, self.context.config)
            return self.runtime.place(trunk).eval().requires_grad_(False).compared
        if viewer is None or not viewer.differentiable:
            return None
        return viewer.requires_grad_(False).features

    def untrained_generator(self) -> Generator:
        """G as it was before training, for the control."""
        torch.manual_seed(seed_of(self.context.seed, GENERATOR))
        generator = self.runtime.place(build_generator(self.settings)).eval().requires_grad_(False)
        save_module(control_path(self.out, UNTRAINED_GENERATOR), generator)
        return generator

    def comparator(
        self, head: Head, gathered: Gathered, segmenter: Segmenter | None, auxiliary: Segmenter | None
    ) -> FittedComparator:
        """F on one kind of synthesis, with the scores and the thresholds fitted to it (eq. 5-8)."""
        weights, settings = head.path(self.out), head.settings(self.settings)
        if not gathered.have_uncertainty:
            settings = replace(settings, variant=_without_uncertainty(settings.variant))
        if learnt_path(weights).exists():
            fitted = FittedComparator.load(weights, settings, self.runtime)
            if fitted.variant != settings.variant:
                raise InputError(f"{weights} was fitted as another variant; remove it, or choose another folder")
            return fitted
        examples, aside = gathered.examples(
            head.generator, keep_aside=_keeps_aside(settings.variant), early=bool(settings.variant.early_views)
        )
        seed = self.context.seed if head.seed is None else head.seed
        network = self._network(weights, settings, examples, auxiliary, seed)
        # label maps are all equally sure, which says nothing of the usual anomaly: it takes M's own uncertainty
        judging = segmenter if gathered.have_uncertainty else None
        fitted = self._learnt(network, settings.variant, aside, judging, seed)
        fitted.save_learnt(weights)
        return fitted

    def _gain(self, gathered: Gathered, shipped: FittedComparator) -> dict[str, str]:
        """What F gains over M's own uncertainty, which needs no fit, if images are kept aside to tell."""
        if shipped.variant.score != "blend":
            return {}
        settings = replace(self.settings, variant=replace(shipped.variant, comparator=UNCERTAINTY))
        own = self.runtime.place(build_network(settings))
        drawn = SYNTHCP if shipped.variant.draws and not shipped.learnt.direct else DIRECT
        aside = gathered.examples(drawn, keep_aside=True)[1]
        gain = gain_of((shipped.network, aside), (own, aside), self.runtime, self.context.seed)
        return {} if gain is None else {"gain": gain.in_words("by F", "by M's own uncertainty")}

    def _cheaper(
        self, gathered: Gathered, drawn: FittedComparator, direct: FittedComparator
    ) -> tuple[FittedComparator, dict[str, str]]:
        """F without the drawing, if it is worth nothing sure on images kept aside and nobody asked for it; and why."""
        if drawn.variant.score != "blend":
            return drawn, {}
        aside = {name: gathered.examples(name, keep_aside=True)[1] for name in (SYNTHCP, DIRECT)}
        first, second = (drawn.network, aside[SYNTHCP]), (direct.network, aside[DIRECT])
        gain = gain_of(first, second, self.runtime, self.context.seed)
        if gain is None:
            return drawn, {}
        facts = {"drawing": gain.in_words("with", "without")}
        if gain.is_sure:
            return drawn, facts
        told = f"the drawing is worth nothing sure: {facts['drawing']}"
        if self.context.config.generator:
            tell(f"{told}; --generator none saves its cost")
            return drawn, facts
        tell(f"{told}; the monitor judges without it, unless you fit it with --generator {drawn.variant.generator}")
        return replace(direct, learnt=replace(direct.learnt, direct=True)), facts

    def _network(
        self,
        weights: Path,
        settings: MonitorSettings,
        examples: ImperfectExamples,
        auxiliary: Segmenter | None,
        seed: int,
    ) -> ComparisonNetwork:
        """F, trained; its encoder starts from published weights, or from another network where the variant says so."""
        config = _comparator_config(settings)

        def build() -> ComparisonNetwork:
            torch.manual_seed(seed_of(seed, COMPARATOR))
            return self.runtime.place(build_network(settings))

        def training_of(network: ComparisonNetwork) -> ComparatorTraining:
            if auxiliary is not None and encoder_is_trunk(settings):
                network.load_encoder(auxiliary.get_submodule("trunk").state_dict())
            start_encoder(network, settings.encoder, self.context.config.comparator_weights)
            return _training_of(network, examples, config, self.runtime, seed)

        if settings.variant.comparator == UNCERTAINTY:  # which learns nothing
            network = build().eval()
            save_module(weights, network)
            return network
        return fit_once(weights, build, training_of, config.steps, self.context.stage(weights.stem, seed))

    def _learnt(
        self,
        network: ComparisonNetwork,
        variant: Variant,
        aside: ImperfectExamples,
        judging: Segmenter | None,
        seed: int,
    ) -> FittedComparator:
        """F with the scores and thresholds that are fitted to images kept aside."""
        blend = fit_score(network, aside, self.runtime, seed) if variant.score == "blend" else None
        fuses = variant.anomaly == "fusion" and judging is not None
        fusion = fit_fusion(self._cues(network, aside)) if fuses else None
        fitted = FittedComparator(network, variant, Learnt(blend, fusion))
        thresholds = fit_thresholds(fitted.comparator(judging, self.settings.t), aside.evidence(), self.runtime)
        return replace(fitted, learnt=replace(fitted.learnt, thresholds=thresholds))

    @torch.no_grad()
    def _cues(self, network: ComparisonNetwork, aside: ImperfectExamples) -> Iterator[Tensor]:
        """What is usual on images kept aside."""
        for evidence in aside.evidence():
            whole = evidence.mapped(self.runtime.send)
            with self.runtime.autocast():
                yield cues_of(whole, network.judged(whole).surprise)


def _training_of(
    network: ComparisonNetwork, examples: ImperfectExamples, config: ComparatorConfig, runtime: Runtime, seed: int
) -> ComparatorTraining:
    """How F is trained."""
    if isinstance(network, FeatureHead):
        return FeatureHeadTraining(network, examples, config, runtime, seed)
    return ComparatorTraining(network, examples, config, runtime, seed)


def _keeps_aside(variant: Variant) -> bool:
    """Whether images are kept from F's training: where a score is fitted to them, or they alone tell what is usual."""
    return variant.score == "blend" or not variant.loss.teaches


def _without_uncertainty(variant: Variant) -> Variant:
    """What is left of a variant when F learns from label maps, which say nothing of M's uncertainty."""
    return replace(variant, uses_uncertainty=False, label_input="one_hot", score="raw")


def _comparator_config(settings: MonitorSettings) -> ComparatorConfig:
    variant = settings.variant
    config = replace(settings.scale.comparator, loss=variant.loss)
    config = config if variant.averaged else replace(config, average=0.0)
    return config if variant.augmented else replace(config, zoom=(1.0, 1.0), jitter=0.0)
