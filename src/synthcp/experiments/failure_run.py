"""One seed of Table 1: for each M its folds, every F, and the rivals, fitted once and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from synthcp.comparison.base import Detector
from synthcp.comparison.logit_scores import LOGIT_SCORES, LogitDetector
from synthcp.comparison.synthesize_then_compare import SynthesizeThenCompare
from synthcp.config.variants import VARIANTS
from synthcp.data.base import Dataset
from synthcp.experiments.kept import fitted_once
from synthcp.experiments.regressions import ASIDE, Regressions, fitted_shape_vae
from synthcp.experiments.remembered import RememberedDistance, RememberedGenerator
from synthcp.experiments.request import Request
from synthcp.fitting.context import Context
from synthcp.fitting.gathering import Gathered, gather
from synthcp.fitting.heads import SHIPPED, SYNTHCP, UNTRAINED, Head
from synthcp.fitting.stages import M, Stages
from synthcp.monitor.fitted_comparator import FittedComparator
from synthcp.rivals.class_entropy import ClassEntropy
from synthcp.rivals.confidence_training import ConfidenceTraining, ConfidenceTrainingConfig
from synthcp.rivals.constant import ConstantError, fit_constant
from synthcp.rivals.direct import DirectPrediction
from synthcp.rivals.dropout import MonteCarloDropout
from synthcp.rivals.one_level import ImageLevel, PixelLevel
from synthcp.rivals.quality_regression import QualityScore, fit_line, fit_linear
from synthcp.rivals.shape_vae import ShapeVae, ShapeVaeConfig
from synthcp.rivals.true_class_probability import ConfidenceConfig, ConfidenceNetwork, TrueClassProbability
from synthcp.rivals.vae_alarm import ShapeScore
from synthcp.segmentation.base import Segmenter
from synthcp.synthesis.base import Generator
from synthcp.system.progress import Progress, silent
from synthcp.training.comparator import DIRECT
from synthcp.training.crossfit import assign_folds

MODELS = ("deeplab", "fcn8")
"""M of the paper's Table 1. The first one's layers measure G's drawings, and from its trunk F of ours starts."""
ABLATED = ("fcn8", 0)
"""The M and the seed whose F is also tried on drawings of other generators, as in section 5 of the paper."""
ABLATIONS = {"SynthCP, pix2pixHD": "pix2pixhd", "SynthCP, style encoder": "styled"}
"""Rows of other generators, which are fitted like SPADE."""

_OURS = VARIANTS["ours"]
_IMAGE = replace(_OURS, loss=replace(_OURS.loss, pixel=0.0))
_PIXEL = replace(_OURS, loss=replace(_OURS.loss, quality=0.0))
_OFFICIAL = replace(VARIANTS["official"], deeplab_head=_OURS.deeplab_head)  # its F on the same M
HEADS = {
    "direct, half capacity": Head("direct-half", DIRECT, replace(_OURS, branches=1)),
    "direct": Head(DIRECT, DIRECT),
    "SynthCP, image level alone": Head("image-level", SYNTHCP, _IMAGE),
    "SynthCP, pixel level alone": Head("pixel-level", SYNTHCP, _PIXEL),
    "direct, paper": Head("direct-paper", DIRECT, VARIANTS["paper"]),
    "SynthCP, paper": Head("paper", SYNTHCP, VARIANTS["paper"]),
    "SynthCP, official": Head("official", SYNTHCP, _OFFICIAL),
    "SynthCP, untrained G": Head(UNTRAINED, UNTRAINED),
    "SynthCP": SHIPPED,
}
"""Rows that are an F, fitted for every M and seed."""
GRID = (48, 64)
"""Of the VAE alarm: a label map of street scenes at this size still shows a person."""
LEVELS: dict[str, Callable[[Detector], Detector]] = {
    "SynthCP, image level alone": ImageLevel,
    "SynthCP, pixel level alone": PixelLevel,
}
"""Rows that were taught one level alone, and say nothing of the other."""
REPEATING = ("deeplab", 0)
"""The M and the seed with which every compared F is fitted HEAD_SEEDS times in all."""
HEAD_SEEDS = 5
REPEATED = ", head "
"""In the name of a row whose head was fitted again; then comes which time this is."""


@dataclass(frozen=True)
class FailureRun:
    """One M of one seed; what is costly is fitted once and read from disk after that.

    Attributes:
        stages: The stages of a fit, of which M, G and the folds were run.
        segmenter: M.
        scout: The M from whose trunk F of ours starts; None where it starts from scratch.
        vae: Of the VAE alarm, which knows label maps alone and so serves every M.
        generators: G by the name of its drawings.
        gathered: The imperfect predictions that every F learns from.
    """

    stages: Stages
    segmenter: Segmenter
    scout: Segmenter | None
    vae: ShapeVae
    generators: dict[str, Generator]
    gathered: Gathered

    @property
    def context(self) -> Context:
        """What the stages work on."""
        return self.stages.context

    @property
    def model(self) -> str:
        """Name of M."""
        return self.context.settings.model.spec

    def fitted(self, head: Head) -> FittedComparator:
        """Return F, with the score that was fitted to it."""
        return self.stages.comparator(head, self.gathered, self.segmenter, self.scout)

    def detector(self, head: Head, fitted_with: FailureRun | None = None) -> Detector:
        """Return F as a detector of this M's failures.

        Args:
            head: Which F.
            fitted_with: The run of another M, whose F it is.
        """
        comparator = replace((fitted_with or self).fitted(head).comparator(None), fusion=None)
        if head.drawing == DIRECT:
            return DirectPrediction(comparator)
        seeing = replace(comparator, feature_distance=self._distance)
        return SynthesizeThenCompare(self._remembered[head.drawing], seeing)

    @cached_property
    def rivals(self) -> dict[str, Detector]:
        """The rows that do without F."""
        learnt = Regressions(self.context, self.segmenter, self.gathered, ("last",), range(len(self.context.dataset)))
        kept_from_vae = replace(learnt, indices=aside(self.context))
        return {
            "chance": ConstantError(),
            "constant": fit_constant(learnt.quality),
            "MSP": LogitDetector(LOGIT_SCORES["msp"]),
            "MC dropout": learnt.regressed(_class_entropy, fit_linear),
            "TCP": TrueClassProbability(self._confidence),
            "VAE alarm": kept_from_vae.regressed(lambda _: ShapeScore(self.vae), fit_line),
        }

    @cached_property
    def _confidence(self) -> ConfidenceNetwork:
        """The network of TCP, fitted for as many steps as F."""
        context, scale = self.context, self.context.settings.scale
        image = context.dataset[0].image[None]
        narrow = ConfidenceConfig(scale.fusion, (2 * scale.fusion, scale.fusion))
        steps = ConfidenceTrainingConfig(scale.comparator.steps)
        return fitted_once(
            context,
            "confidence",
            lambda: ConfidenceNetwork(self.segmenter, image, ConfidenceConfig() if scale.depth == 101 else narrow),
            lambda network: ConfidenceTraining(
                network, self.segmenter, context.dataset, steps, context.runtime, context.seed
            ),
            steps.steps,
        )

    def learned(self) -> dict[str, Detector]:
        """Return the rows that are an F."""
        detectors = {row: self.detector(head) for row, head in HEADS.items()}
        others = {row: Head(kind, kind) for row, kind in ABLATIONS.items() if kind in self.generators}
        levels = {name: level(detectors[name]) for name, level in LEVELS.items()}
        return {**{row: self.detector(head) for row, head in others.items()}, **detectors, **levels}

    def repeated(self) -> dict[str, Detector]:
        """Return the rows that are compared once for every further seed of the head, with this M and G."""
        if (self.model, self.context.seed) != REPEATING:
            return {}
        return {
            f"{row}{REPEATED}{number}": self.detector(
                replace(HEADS[row], name=f"{HEADS[row].name}-{number}", seed=1000 + number)
            )
            for row in ("direct", "SynthCP, untrained G", "SynthCP")
            for number in range(2, HEAD_SEEDS + 1)
        }

    @cached_property
    def _distance(self) -> RememberedDistance:
        return RememberedDistance(self.segmenter)

    @cached_property
    def _remembered(self) -> dict[str, Generator]:
        return {name: RememberedGenerator(generator) for name, generator in self.generators.items()}


def aside(context: Context) -> list[int]:
    """Return the images that are kept from the shape VAE: whole blocks of a recording, whose neighbours are alike."""
    count = len(context.dataset)
    fold_of = assign_folds(context.dataset.groups, min(ASIDE, count), "dealt", runs=2)
    return [index for index in range(count) if fold_of[index] == 0]


def _class_entropy(segmenter: Segmenter) -> QualityScore:
    return ClassEntropy(MonteCarloDropout(segmenter))


def open_failure_runs(
    request: Request, dataset: Dataset, seed: int, progress: Progress = silent
) -> dict[str, FailureRun]:
    """Fit every M, G and F of one seed, or read them from out/seedN; returned by the name of M.

    Raises:
        InputError: The folder holds a run on other data or with other options, there is no such scale, or the weights
            do not fit their M.
    """
    folder = request.out / f"seed{seed}"
    models = (request.model,) if request.model else MODELS
    wanted = dict.fromkeys((MODELS[0], *models))  # all begin before one is fitted: what is unusable is refused now
    begun = {model: request.begin(dataset, folder / model, model, seed, progress) for model in wanted}
    first = begun[MODELS[0]]
    segmenter = first.segmenter(M)
    scout = first.scout(segmenter)
    classes = first.settings.classes
    config = ShapeVaeConfig(len(classes), GRID, background=classes.background)
    vae = fitted_shape_vae(first.context, config, aside(first.context))
    spade = {SYNTHCP: first.generator(segmenter), UNTRAINED: first.untrained_generator()}
    runs = {}
    for model in models:
        stages = begun[model]
        ablations = ABLATIONS.values() if (model, seed) == ABLATED else ()
        others = {kind: first.generator(segmenter, kind) for kind in ablations}
        seen = segmenter if model == MODELS[0] else stages.segmenter(M)
        generators = {name: generator.requires_grad_(False) for name, generator in {**spade, **others}.items()}
        gathered = gather(stages.context, seen, generators)
        runs[model] = FailureRun(stages, seen.requires_grad_(False), scout, vae, generators, gathered)
    return runs
