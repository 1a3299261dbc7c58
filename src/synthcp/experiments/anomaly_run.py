"""One seed of Tables 3 and 4: M, G and the rivals, fitted on one data set and kept on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from synthcp.comparison.anomaly_fusion import CUES, AnomalyFusion, FusedAnomaly, fit_fusion, fused_cues
from synthcp.comparison.base import Comparator, Detector
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.comparison.logit_scores import LOGIT_SCORES, LogitDetector
from synthcp.comparison.synthesize_then_compare import SynthesizeThenCompare
from synthcp.data.base import Dataset
from synthcp.experiments.kept import fitted_once
from synthcp.experiments.request import Request
from synthcp.fitting.context import Context
from synthcp.fitting.stages import M, Stages
from synthcp.records import Prediction
from synthcp.rivals.autoencoder import Autoencoder, AutoencoderConfig, ReconstructionError
from synthcp.rivals.autoencoder_training import AutoencoderTraining, AutoencoderTrainingConfig
from synthcp.rivals.class_gaussians import fit_class_gaussians
from synthcp.rivals.crf import CrfRefinedMsp
from synthcp.rivals.dropout import MonteCarloDropout
from synthcp.rivals.feature_density import FeatureDensity
from synthcp.rivals.nearest_neighbors import fit_nearest_neighbors
from synthcp.rivals.second_look import SecondLook
from synthcp.rivals.standardized_max_logits import MaxLogitSmoothing, StandardizedMaxLogits, fit_standardization
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.multi_scale import MultiScale
from synthcp.synthesis.base import Generator
from synthcp.system.progress import Progress, silent

AUTOENCODER = "autoencoder"
MODEL = "pspnet"
"""M of the paper's Tables 3 and 4."""
CONCATENATION = -2
"""Place of PSPNet's pooled concatenation among its feature maps, which the authors' release compares."""
SMALL_SMOOTHING = MaxLogitSmoothing(boundary=1, sigma=1.0, dilation=1)
"""The smoothing of standardized max logits, whose authors saw images of 1024 x 2048, at a seventh of that size."""


@dataclass(frozen=True)
class AnomalyRun:
    """The parts of one seed; what is costly is fitted once and read from disk after that.

    Attributes:
        stages: The stages of a fit, of which M and G were run.
        segmenter: M, fitted on the training images.
        generator: G, fitted on their label maps.
    """

    stages: Stages
    segmenter: Segmenter
    generator: Generator

    @property
    def context(self) -> Context:
        """What the stages work on."""
        return self.stages.context

    @cached_property
    def untrained_generator(self) -> Generator:
        """G before its training, the control."""
        return self.stages.untrained_generator().requires_grad_(False)

    @cached_property
    def autoencoder(self) -> Autoencoder:
        """The autoencoder of the AE row, fitted on the training images half as long as G."""
        context, settings = self.context, self.context.settings
        config = AutoencoderConfig(settings.channels, settings.scale.segmenter_width)
        steps = AutoencoderTrainingConfig(max(1, settings.scale.gan.steps // 2))
        return fitted_once(
            context,
            AUTOENCODER,
            lambda: Autoencoder(settings.spatial_dims, config),
            lambda network: AutoencoderTraining(network, context.dataset, steps, context.runtime, context.seed),
            steps.steps,
        )

    def rivals(self) -> dict[str, Detector]:
        """The rows that do without a drawing."""
        classes = len(self.context.settings.classes)
        gaussians = fit_class_gaussians(self._labelled_features(), classes)
        neighbours = fit_nearest_neighbors(self._labelled_features(), classes)
        place = self.context.runtime.place
        return {
            "AE": ReconstructionError(self.autoencoder),
            "dropout": MonteCarloDropout(self.segmenter),
            "msp": LogitDetector(LOGIT_SCORES["msp"]),
            "msp + crf": CrfRefinedMsp(),
            "entropy": LogitDetector(LOGIT_SCORES["entropy"]),
            "max-logit": LogitDetector(LOGIT_SCORES["max-logit"]),
            "energy": LogitDetector(LOGIT_SCORES["energy"]),
            "standardized max-logit": StandardizedMaxLogits(
                fit_standardization((prediction for _, prediction in self._looks()), classes), SMALL_SMOOTHING
            ),
            "Mahalanobis": FeatureDensity(self.segmenter, place(gaussians)),
            "kNN": FeatureDensity(self.segmenter, place(neighbours)),
        }

    def drawn(self, comparator: Comparator, generator: Generator | None = None) -> SynthesizeThenCompare:
        """Return SynthCP with a comparator, and another generator if there is one."""
        return SynthesizeThenCompare(generator or self.generator, comparator)

    def paper(self, threshold: float = 0.999, generator: Generator | None = None) -> Detector:
        """Return the paper's score: eq. 9 on f_M, refined by MSP above t."""
        return self.drawn(FeatureDistance(self.segmenter, threshold), generator)

    def official(self) -> Detector:
        """Return the score of the authors' release: the pooled concatenation, M looking at five scales."""
        looking = MultiScale(self.segmenter)
        layer = CONCATENATION if self.context.settings.model.spec == "pspnet" else -1
        return SecondLook(looking, self.drawn(FeatureDistance(looking, layer=layer)))

    def ours(self, generator: Generator | None = None) -> Detector:
        """Return the score that is shipped."""
        return self.drawn(FusedAnomaly(FeatureDistance(self.segmenter), self._fusion(generator)), generator)

    def blind(self) -> Detector:
        """Return the shipped score without what the drawing tells, the control."""
        fusion = self._fusion()
        weights = tuple(0.0 if cue == "drawing" else weight for cue, weight in zip(CUES, fusion.weights, strict=True))
        return self.drawn(FusedAnomaly(FeatureDistance(self.segmenter), replace(fusion, weights=weights)))

    def _fusion(self, generator: Generator | None = None) -> AnomalyFusion:
        """The score, measured on the training images, which hold no anomaly."""
        return fit_fusion(self._cues(generator or self.generator))

    def _cues(self, generator: Generator) -> Iterator[Tensor]:
        distance, runtime = FeatureDistance(self.segmenter), self.context.runtime
        for image, prediction in self._looks():
            with torch.no_grad(), runtime.autocast():
                cues = fused_cues(distance, image, generator.draw(prediction.label_map, image), prediction)
            yield cues

    def _labelled_features(self) -> Iterator[tuple[Tensor, Tensor]]:
        for sample, (_, prediction) in zip(self.context.dataset, self._looks(), strict=True):
            assert prediction.features is not None and sample.label_map is not None
            yield prediction.features, sample.label_map[None]

    def _looks(self) -> Iterator[tuple[Tensor, Prediction]]:
        """Every training image (1, C, *S) and what M says of it."""
        runtime = self.context.runtime
        for sample in self.context.dataset:
            image = runtime.send(sample.image[None])
            with torch.no_grad(), runtime.autocast():
                prediction = self.segmenter.predict(sample.id, image)
            yield image, prediction


def open_run(request: Request, dataset: Dataset, seed: int, progress: Progress = silent) -> AnomalyRun:
    """Fit M and G of one seed, or read them from its folder, out/seedN.

    Raises:
        InputError: The folder holds a run on other data or with other options, or there is no such model or scale.
    """
    folder = request.out / f"seed{seed}"
    stages = request.begin(dataset, folder, request.model or MODEL, seed, progress)
    segmenter = stages.segmenter(M)
    generator = stages.generator(segmenter)
    return AnomalyRun(stages, segmenter.requires_grad_(False), generator.requires_grad_(False))
