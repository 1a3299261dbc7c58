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
        if self.comparator.fusion is None:
            return replace(self.comparator.judge(self._alone(image, prediction)), anomaly_map=None)
        return self.comparator.judge(self.evidence(image, prediction))

    def evidence(self, image: Tensor, prediction: Prediction) -> Evidence:
        """Return what F and the anomaly score look at, of a live M with objectness (shapes: see Evidence)."""
        evidence, distance = self._alone(image, prediction), self.comparator.feature_distance
        return evidence if distance is None else replace(evidence, objectness=distance.objectness(image, prediction))

    def _alone(self, image: Tensor, prediction: Prediction) -> Evidence:
        channels = self.comparator.network.config.feature_distances
        agreement = image.new_zeros(image.shape[0], channels, *image.shape[2:])
        return Evidence(image, None, prediction.logits, agreement)
