"""A detector that judges by what M says when it looks again in another way."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.records import Detection, Prediction
from synthcp.segmentation.base import Segmenter, at_size


@dataclass(frozen=True)
class SecondLook:
    """Puts another prediction of the same image in the place of the one that came.

    Attributes:
        segmenter: M as it looks again, such as at several scales.
        detector: Judges what it then says.
    """

    segmenter: Segmenter
    detector: Detector

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        again = self.segmenter.predict("", image)
        return self.detector(image, at_size(again, image.shape[2:]))
