"""The mean of several detectors' class quality, the paper's "Ours + VAE" (section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.errors import InputError
from synthcp.records import Detection, Prediction


@dataclass(frozen=True)
class Average:
    """Predicts the mean of the qualities that detectors predict; all maps are the first one's.

    Attributes:
        detectors: Two or more, all of which predict class quality.

    Raises:
        InputError: There are fewer than two; on a call: one predicts no class quality.
    """

    detectors: tuple[Detector, ...]

    def __post_init__(self) -> None:
        if len(self.detectors) < 2:
            raise InputError(f"an average of {len(self.detectors)} detectors is none; give two or more")

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        judged = [detector(image, prediction) for detector in self.detectors]
        qualities = [detection.class_quality for detection in judged if detection.class_quality is not None]
        if len(qualities) < len(judged):
            raise InputError("a detector predicts no class quality to be averaged; leave it out")
        return replace(judged[0], class_quality=torch.stack(qualities).mean(dim=0))
