"""Unknown objects by SynthCP: the paper's score, the authors' release, and the score that is shipped, with controls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from synthcp.comparison.anomaly_fusion import CUES, AnomalyFusion, FusedAnomaly, fit_fusion, fused_cues
from synthcp.comparison.base import Detector
from synthcp.comparison.catalogue import FEATURE_HEAD
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.comparison.synthesize_then_compare import SynthesizeThenCompare
from synthcp.fitting.fit_data import FitData
from synthcp.fitting.heads import SYNTHCP
from synthcp.records import Detection, Prediction
from synthcp.rivals.synthcp import HEADS, failure_detector, fitted_head
from synthcp.segmentation.base import Segmenter, at_size
from synthcp.segmentation.multi_scale import MultiScale
from synthcp.synthesis.base import Generator

CONCATENATION = -2
"""Place of PSPNet's pooled concatenation among its feature maps, which the authors' release compares."""


@dataclass(frozen=True)
class SecondLook:
    """Puts another prediction of the same image in the place of the one that came.

    Attributes:
        segmenter: M as it sees the image again, such as at several scales.
        detector: Judges what it then says.
    """

    segmenter: Segmenter
    detector: Detector

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        again = self.segmenter.predict("", image)
        return self.detector(image, at_size(again, image.shape[2:]))


def fit_distance(data: FitData, *, threshold: float = 0.999, kind: str = SYNTHCP) -> Detector:
    """Return the paper's score: eq. 9 on f_M, refined by MSP above t.

    Args:
        data: Of the run.
        threshold: t.
        kind: Of G.
    """
    generator = data.including(kind).generators[kind]
    return SynthesizeThenCompare(generator, FeatureDistance(data.segmenter, threshold))


def fit_official_distance(data: FitData) -> Detector:
    """Return the score of the authors' release: the pooled concatenation, M at five scales."""
    several = MultiScale(data.segmenter)
    layer = CONCATENATION if data.settings.model.spec == "pspnet" else -1
    distance = FeatureDistance(several, layer=layer)
    return SecondLook(several, SynthesizeThenCompare(data.generators[SYNTHCP], distance))


@dataclass(frozen=True)
class AnomaliesAlone:
    """Keeps the anomaly map of a detector.

    Attributes:
        detector: It says more.
    """

    detector: Detector

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        judged = self.detector(image, prediction)
        return Detection(anomaly_map=judged.anomaly_map, synthesis=judged.synthesis)


def fit_fused(data: FitData, *, kind: str = SYNTHCP, blind: bool = False) -> Detector:
    """Return the score that is shipped, measured on images that hold no anomaly.

    An F on a published trunk has a cue of its own, so that its score is that of the F; else all training images serve.

    Args:
        data: Of the run.
        kind: Of G.
        blind: Leave out what the synthesis tells, the control.
    """
    if data.settings.variant.comparator == FEATURE_HEAD:
        fitted = fitted_head(data, HEADS[kind])
        fusion = fitted.learnt.fusion
        assert fusion is not None  # F stands beside a live M, and the variant fuses
        learnt = replace(fitted.learnt, fusion=_blind(fusion) if blind else fusion)
        return AnomaliesAlone(failure_detector(data, HEADS[kind], replace(fitted, learnt=learnt)))
    generator = data.including(kind).generators[kind]
    fusion = fit_fusion(_cues(data, generator))
    fusion = _blind(fusion) if blind else fusion
    return SynthesizeThenCompare(generator, FusedAnomaly(FeatureDistance(data.segmenter), fusion))


def _cues(data: FitData, generator: Generator) -> Iterator[Tensor]:
    distance, runtime = FeatureDistance(data.segmenter), data.runtime
    for image, prediction in data.predictions():
        with torch.no_grad(), runtime.autocast():
            cues = fused_cues(distance, image, generator.draw(prediction.label_map, image), prediction)
        yield cues


def _blind(fusion: AnomalyFusion) -> AnomalyFusion:
    pairs = zip(CUES, fusion.weights, strict=True)
    return replace(fusion, weights=tuple(0.0 if cue == "distance" else weight for cue, weight in pairs))
