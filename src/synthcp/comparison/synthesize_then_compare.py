"""The paper in two lines: synthesize, then compare."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from synthcp.comparison.base import Comparator
from synthcp.records import Detection, Prediction
from synthcp.synthesis.base import Generator


@dataclass(frozen=True)
class SynthesizeThenCompare:
    """The detector of the paper, for failures or anomalies according to its comparator.

    Attributes:
        generator: G.
        comparator: F.
    """

    generator: Generator
    comparator: Comparator

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector); the synthesis is part of the answer."""
        synthesis = self.generator.draw(prediction.label_map, image)  # x_hat = G(y_hat), eq. 3
        detection = self.comparator(image, synthesis, prediction)  # c_hat = F(x, x_hat), eq. 4
        return replace(detection, synthesis=synthesis)
