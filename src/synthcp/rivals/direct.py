"""Direct prediction, the paper's ablation, at equal capacity: the same network, shown the image for the synthesis."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.failure import FailureComparator
from synthcp.records import Detection, Prediction


@dataclass(frozen=True)
class DirectPrediction:
    """F(x, x, y_hat): every parameter of SynthCP's comparator and nothing that the synthesis could tell.

    Attributes:
        comparator: A comparator trained in this way.
    """

    comparator: FailureComparator

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector); without a synthesis there is no anomaly map."""
        channels = self.comparator.network.config.feature_distances
        agreement = image.new_zeros(image.shape[0], channels, *image.shape[2:])
        detection = self.comparator.judge(Evidence(image, None, prediction.logits, agreement))
        return replace(detection, anomaly_map=None)
