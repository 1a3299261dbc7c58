"""Direct prediction: F judges without a drawing, as the ablation of the paper and in a monitor that draws nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.failure import FailureComparator
from synthcp.records import Detection, Prediction


@dataclass(frozen=True)
class DirectPrediction:
    """F(x, x, y_hat): every parameter of a comparator and nothing that a synthesis could tell.

    Attributes:
        comparator: F, trained in this way.
    """

    comparator: FailureComparator

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector); there is an anomaly map where one was fitted without a drawing."""
        comparator, fusion = self.comparator, self.comparator.fusion
        channels = comparator.network.config.feature_distances
        agreement = image.new_zeros(image.shape[0], channels, *image.shape[2:])
        evidence = Evidence(image, None, prediction.logits, agreement)
        if fusion is None or comparator.feature_distance is None:
            return replace(comparator.judge(evidence), anomaly_map=None)
        objectness = comparator.feature_distance.objectness(image, prediction)
        return comparator.judge(replace(evidence, objectness=objectness))
