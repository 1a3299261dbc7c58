"""The one seam: Detector(image, prediction) -> Detection. SynthCP, its controls and every rival are detectors."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from synthcp.records import Detection, Prediction


class Detector(Protocol):
    """Judges a prediction."""

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge.

        Args:
            image: x, shape (B, C, *S), in [0, 1].
            prediction: Of M, for this image.
        """
        ...


class Comparator(Protocol):
    """F of eq. 4: judges a prediction by comparing the image with the synthesis of its label map."""

    def __call__(self, image: Tensor, synthesis: Tensor, prediction: Prediction) -> Detection:
        """Judge.

        Args:
            image: x, shape (B, C, *S), in [0, 1].
            synthesis: x_hat = G(y_hat), same shape.
            prediction: Of M, for this image.
        """
        ...
