"""One seed of Table 2: M, G, the folds, F with its controls, and the rivals, fitted once and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from synthcp.controls import UNTRAINED, load_control
from synthcp.data.base import Dataset
from synthcp.data.subset import Subset
from synthcp.detection.base import Detector
from synthcp.detection.constant import VolumeShare, fit_constant
from synthcp.detection.dropout import MonteCarloDropout
from synthcp.detection.pairwise_dice import PairwiseDice
from synthcp.detection.quality_regression import (
    QualityRegression,
    QualityScore,
    RegressedQuality,
    fit_isotonic,
    fit_line,
)
from synthcp.detection.shape_vae import ShapeVae, ShapeVaeConfig
from synthcp.detection.vae_alarm import ShapeScore
from synthcp.detection.voxel_uncertainty import PredictiveEntropy, PredictiveVariance, UncertaintyScore
from synthcp.errors import InputError
from synthcp.experiments.kept import fitted_once
from synthcp.experiments.request import Request
from synthcp.fitting.context import Context
from synthcp.fitting.gathering import Gathered, fold_segmenter
from synthcp.fitting.options import FitOptions
from synthcp.fitting.run import begin
from synthcp.fitting.stages import Stages
from synthcp.metrics.overlap import image_dice
from synthcp.monitor import Monitor
from synthcp.provenance import command_line, commit
from synthcp.records import Prediction
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.settings import BUILT_INS, default_model
from synthcp.training.comparator import DIRECT
from synthcp.training.crossfit import assign_folds
from synthcp.training.loop import Progress, silent
from synthcp.training.shape_vae import ShapeVaeTraining, ShapeVaeTrainingConfig

VAE = "shape-vae"
VAE_STEPS = 4
"""Of the shape VAE, for each step of M."""
ASIDE = 4
"""One training volume in so many is kept from the shape VAE: from it the rivals learn what their scores mean. The VAE
would rebuild masks of volumes whose true masks it knows too well, and the line through their scores would lie too low
for all others."""
VIEWS = ("degraded0", "last")
"""Of the imperfect predictions, those from which the rivals' regressions learn: of degraded and of clean volumes."""


@dataclass(frozen=True)
class Example:
    """An imperfect prediction, and who made it.

    Attributes:
        segmenter: The M of the fold that has not seen the volume.
        image: x, shape (1, C, *S), as that M saw it.
        prediction: Of that M.
        quality: True Dice of every class, shape (L,).
    """

    segmenter: Segmenter
    image: Tensor
    prediction: Prediction
    quality: Tensor


Fit = Callable[[Tensor, Tensor], QualityRegression]
"""From scores and true quality, shape (N, L) each."""


@dataclass(frozen=True)
class VolumeRun:
    """The parts of one seed; what is costly is fitted once and read from disk after that.

    Attributes:
        stages: The stages of a fit, all of which were run.
        monitor: Their result.
        gathered: The imperfect predictions that F has learnt from.
    """

    stages: Stages
    monitor: Monitor
    gathered: Gathered

    @property
    def context(self) -> Context:
        """What the stages work on."""
        return self.stages.context

    @property
    def segmenter(self) -> Segmenter:
        """M."""
        assert self.monitor.segmenter is not None  # built in
        return self.monitor.segmenter

    @cached_property
    def detectors(self) -> dict[str, Detector]:
        """The rows of the table that predict by themselves; ensembles are means of their columns."""
        shape = ShapeScore(self.vae)  # trained now: inside of autocast the weights of each step would be the first ones
        return {
            "constant": fit_constant(torch.stack([example.quality for example in self._examples])),
            "volume alone": self._regressed(lambda _: VolumeShare(), fit_isotonic),
            "direct": load_control(self.context.out, DIRECT, self.monitor),
            "Jungo": self._regressed(_jungo, fit_isotonic),
            "Kwon": self._regressed(_kwon, fit_isotonic),
            "VAE alarm": self._regressed(lambda _: shape, fit_line),
            "pairwise Dice": PairwiseDice(tuple(segmenter for segmenter, _ in self._folds)),
            "SynthCP, untrained G": load_control(self.context.out, UNTRAINED, self.monitor),
            "SynthCP": self.monitor.detector(),
        }

    @cached_property
    def vae(self) -> ShapeVae:
        """The VAE of the alarm, fitted on the true label maps of the training volumes that are not kept aside."""
        context = self.context
        dims, classes = context.settings.spatial_dims, len(context.settings.classes)
        config = ShapeVaeTrainingConfig(VAE_STEPS * context.settings.scale.segmentation.steps)
        seen = Subset(context.dataset, [index for index in range(len(context.dataset)) if index % ASIDE])
        return fitted_once(
            context,
            VAE,
            lambda: ShapeVae(dims, ShapeVaeConfig(classes)),
            lambda network: ShapeVaeTraining(network, seen, config, context.runtime, context.seed),
            config.steps,
        )

    @cached_property
    def _folds(self) -> list[tuple[Segmenter, list[int]]]:
        """The M of each fold, and the volumes that it has not seen."""
        context, variant = self.context, self.context.settings.variant
        folds = context.settings.scale.folds
        fold_of = assign_folds(context.dataset.groups, folds, variant.fold_rule)
        unseen = [[index for index, other in enumerate(fold_of) if other == fold] for fold in range(folds)]
        return [
            (fold_segmenter(context, f"fold{fold}", held_out).requires_grad_(False), held_out)
            for fold, held_out in enumerate(unseen)
        ]

    @cached_property
    def _examples(self) -> list[Example]:
        """The imperfect predictions of the volumes kept aside, from which the rivals' regressions learn."""
        return [
            self._example(segmenter, view, index)
            for view in VIEWS
            for segmenter, held_out in self._folds
            for index in held_out
            if index % ASIDE == 0
        ]

    def _example(self, segmenter: Segmenter, view: str, index: int) -> Example:
        sample, kept = self.context.dataset[index], self.gathered.predictions.read(view, index)
        assert sample.label_map is not None  # check_labels ran before
        send, classes = self.context.runtime.send, self.context.settings.classes
        prediction = Prediction(send(kept["logits"][None]))
        predicted = prediction.label_map[0].cpu()
        quality = image_dice(sample.label_map, predicted, len(classes), classes.ignore_index)
        return Example(segmenter, send(kept.get("image", sample.image)[None]), prediction, quality)

    def _regressed(self, score_of: Callable[[Segmenter], QualityScore], fit: Fit) -> RegressedQuality:
        """A rival that scores each class: what its scores mean is learnt from the examples.

        Args:
            score_of: The score, of the M that it is about.
            fit: Of the regression.
        """
        scores = []
        for number, example in enumerate(self._examples):
            with self.context.runtime.autocast():
                scores.append(score_of(example.segmenter)(example.image, example.prediction).scores[0].float().cpu())
            self.context.progress("regression", number + 1, len(self._examples), {})
        quality = torch.stack([example.quality for example in self._examples])
        return RegressedQuality(score_of(self.segmenter), fit(torch.stack(scores).double(), quality))


def _jungo(segmenter: Segmenter) -> QualityScore:
    return UncertaintyScore(PredictiveEntropy(MonteCarloDropout(segmenter)))


def _kwon(segmenter: Segmenter) -> QualityScore:
    return UncertaintyScore(PredictiveVariance(MonteCarloDropout(segmenter)))


def open_volume_run(request: Request, dataset: Dataset, seed: int, progress: Progress = silent) -> VolumeRun:
    """Fit one seed with its controls, or read it from its folder, out/seedN.

    Raises:
        InputError: The folder holds a run on other data or with other options, or there is no such model or scale.
    """
    model = request.model or default_model(3)
    if model not in BUILT_INS:
        raise InputError(f"model {model!r} is not fitted here; choose one of {', '.join(BUILT_INS)}")
    options = FitOptions(
        scale=request.scale, seed=seed, resume=True, device=request.device, precision=request.precision, model=model
    )
    facts = {"data": request.data, "command": command_line(), "commit": commit()}
    stages = begin(dataset, request.out / f"seed{seed}", options, progress, facts)
    monitor, gathered = stages.fitted()
    return VolumeRun(stages, monitor, gathered)
