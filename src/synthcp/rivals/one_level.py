"""A detector at one of its two levels: the pixels alone, or the image alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.errors import InputError
from synthcp.records import Detection, Prediction


@dataclass(frozen=True)
class PixelLevel:
    """Keeps the error map of a detector, with its verdict.

    Attributes:
        detector: Whose.

    Raises:
        InputError: On a call: it has no error map.
    """

    detector: Detector

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        judged = self.detector(image, prediction)
        if judged.error_map is None:
            raise InputError(f"{_name(self.detector)} draws no error map; take it at the level of the image")
        return Detection(error_map=judged.error_map, verdict=judged.verdict)


@dataclass(frozen=True)
class ImageLevel:
    """Keeps the class quality that a detector predicts.

    Attributes:
        detector: Whose.

    Raises:
        InputError: On a call: it predicts none.
    """

    detector: Detector

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        judged = self.detector(image, prediction)
        if judged.class_quality is None:
            raise InputError(f"{_name(self.detector)} predicts no class quality; take it at the level of pixels")
        return Detection(class_quality=judged.class_quality)


def _name(detector: Detector) -> str:
    return type(detector).__name__
