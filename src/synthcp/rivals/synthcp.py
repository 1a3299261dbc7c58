"""SynthCP, its variants, ablations and learned controls as detectors: each is one F among many, see HEADS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.comparison.catalogue import FEATURE_HEAD
from synthcp.comparison.direct_prediction import DirectPrediction
from synthcp.comparison.failure import FailureComparator, SharedEvidence
from synthcp.config.variants import VARIANTS, Variant
from synthcp.errors import UnsuitedError
from synthcp.fitting.fit_data import FitData
from synthcp.fitting.heads import DRAWN, SHIPPED, SYNTHCP, UNTRAINED, Head, shipped_head
from synthcp.monitor.fitted_comparator import FittedComparator
from synthcp.records import Detection, Prediction
from synthcp.training.comparator import DIRECT


def _paper(_: Variant) -> Variant:
    return VARIANTS["paper"]


def _official(variant: Variant) -> Variant:
    return replace(VARIANTS["official"], deeplab_head=variant.deeplab_head)  # its F on the same M


def _half(variant: Variant) -> Variant:
    if variant.comparator == FEATURE_HEAD:
        raise UnsuitedError("a feature head has no second branch, so that half of it is the same as direct prediction")
    return replace(variant, branches=1)


def _image_alone(variant: Variant) -> Variant:
    return replace(variant, loss=replace(variant.loss, pixel=0.0))


def _pixels_alone(variant: Variant) -> Variant:
    return replace(variant, loss=replace(variant.loss, quality=0.0))


HEADS: dict[str, Head] = {
    "direct-half": Head("direct-half", DIRECT, _half),
    "direct-paper": Head("direct-paper", DIRECT, _paper),
    "direct": Head(DIRECT, DIRECT),
    "pix2pixhd": Head("pix2pixhd", "pix2pixhd"),
    "styled": Head("styled", "styled"),
    "image-level": Head("image-level", SYNTHCP, _image_alone),
    "pixel-level": Head("pixel-level", SYNTHCP, _pixels_alone),
    "paper": Head("paper", SYNTHCP, _paper),
    "official": Head("official", SYNTHCP, _official),
    "untrained": Head(UNTRAINED, UNTRAINED),
    "drawn": DRAWN,
    "synthcp": SHIPPED,
}
"""Every F by the name of its detector: what it is shown, and which variant it is."""


@dataclass(frozen=True)
class SharedComparison:
    """Compares an image with a synthesis that other F are shown as well.

    Attributes:
        evidence: Of the generator.
        comparator: F.
    """

    evidence: SharedEvidence
    comparator: FailureComparator

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector); the synthesis is part of the answer."""
        evidence = self.evidence(image, prediction)
        return replace(self.comparator.judge(evidence), synthesis=evidence.synthesis)


@dataclass(frozen=True)
class OneLevel:
    """Keeps what a detector says of the level that its F was taught, the pixels or the image.

    Attributes:
        detector: Whose F was taught one level alone.
        of_pixels: Which one.
    """

    detector: Detector
    of_pixels: bool

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        judged = self.detector(image, prediction)
        if self.of_pixels:
            return Detection(error_map=judged.error_map, raw_error_map=judged.raw_error_map)
        return Detection(class_quality=judged.class_quality)


def fit_head(head: Head) -> Callable[[FitData], Detector]:
    """Return how one F is fitted and becomes a detector."""
    return lambda data: failure_detector(data, head)


def failure_detector(data: FitData, head: Head, fitted: FittedComparator | None = None) -> Detector:
    """Return an F as a detector.

    Args:
        data: Of the run whose M is judged.
        head: Which F.
        fitted: The F itself, where it is not that of the run.
    """
    head = shipped_head(data.settings) if head == SHIPPED else head
    data = _shown(data, head)
    comparator = (fitted or data.comparator(head)).comparator(data.live, data.settings.t)
    if head.generator == DIRECT:
        detector: Detector = DirectPrediction(comparator)
    else:
        detector = SharedComparison(data.evidence(head.generator), comparator)
    return _at_its_level(detector, head.settings(data.settings).variant)


def fitted_head(data: FitData, head: Head) -> FittedComparator:
    """Return an F with what was learnt beside it; it is fitted unless the run has it."""
    head = shipped_head(data.settings) if head == SHIPPED else head
    return _shown(data, head).comparator(head)


def _shown(data: FitData, head: Head) -> FitData:
    """What an F is fitted on, with the generator whose syntheses it is shown."""
    return data if head.generator == DIRECT else data.including(head.generator)


def _at_its_level(detector: Detector, variant: Variant) -> Detector:
    """The detector, silent about what its F was not taught; one that was taught nothing says what M itself does."""
    if (variant.loss.pixel > 0) == (variant.loss.quality > 0):
        return detector
    return OneLevel(detector, of_pixels=variant.loss.pixel > 0)
