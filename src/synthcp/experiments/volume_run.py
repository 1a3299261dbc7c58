"""One seed of Table 2: M, G, the folds, F with its controls, and the rivals, fitted once and kept on disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.experiments.regressions import ASIDE, Regressions, fitted_shape_vae
from synthcp.experiments.request import Request
from synthcp.fitting.context import Context
from synthcp.fitting.gathering import Gathered
from synthcp.fitting.heads import UNTRAINED
from synthcp.fitting.stages import Stages
from synthcp.monitor.monitor import Monitor
from synthcp.rivals.constant import VolumeShare, fit_constant
from synthcp.rivals.controls import load_control
from synthcp.rivals.dropout import MonteCarloDropout
from synthcp.rivals.pairwise_dice import PairwiseDice
from synthcp.rivals.quality_regression import QualityScore, fit_isotonic, fit_line
from synthcp.rivals.shape_vae import ShapeVaeConfig
from synthcp.rivals.vae_alarm import ShapeScore
from synthcp.rivals.voxel_uncertainty import PredictiveEntropy, PredictiveVariance, UncertaintyScore
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.catalogue import default_model
from synthcp.system.progress import Progress, silent
from synthcp.training.comparator import DIRECT

VIEWS = ("degraded0", "last")
"""Of the imperfect predictions, those from which the rivals' regressions learn: of degraded and of clean volumes."""


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
        aside = range(0, len(self.context.dataset), ASIDE)  # one volume tells nothing of the next
        vae = fitted_shape_vae(self.context, ShapeVaeConfig(len(self.context.settings.classes)), aside)
        rivals = Regressions(self.context, self.segmenter, self.gathered, VIEWS, aside)
        return {
            "constant": fit_constant(rivals.quality),
            "volume alone": rivals.regressed(lambda _: VolumeShare(), fit_isotonic),
            "direct": load_control(self.context.out, DIRECT, self.monitor),
            "Jungo": rivals.regressed(_jungo, fit_isotonic),
            "Kwon": rivals.regressed(_kwon, fit_isotonic),
            "VAE alarm": rivals.regressed(lambda _: ShapeScore(vae), fit_line),
            "pairwise Dice": PairwiseDice(tuple(segmenter for segmenter, _ in rivals.folds)),
            "SynthCP, untrained G": load_control(self.context.out, UNTRAINED, self.monitor),
            "SynthCP": self.monitor.detector(),
        }


def _jungo(segmenter: Segmenter) -> QualityScore:
    return UncertaintyScore(PredictiveEntropy(MonteCarloDropout(segmenter)))


def _kwon(segmenter: Segmenter) -> QualityScore:
    return UncertaintyScore(PredictiveVariance(MonteCarloDropout(segmenter)))


def open_volume_run(request: Request, dataset: Dataset, seed: int, progress: Progress = silent) -> VolumeRun:
    """Fit one seed with its controls, or read it from its folder, out/seedN.

    Raises:
        InputError: The folder holds a run on other data or with other options, or there is no such model or scale.
    """
    folder = request.out / f"seed{seed}"
    stages = request.begin(dataset, folder, request.model or default_model(3), seed, progress)
    monitor, gathered = stages.fitted()
    return VolumeRun(stages, monitor, gathered)
