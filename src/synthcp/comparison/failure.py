"""F as a comparator: the siamese network, the evidence it needs, and the score that is made of its raw error map."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from synthcp.comparison.anomaly_fusion import AnomalyFusion, cues_of
from synthcp.comparison.blend import Blend
from synthcp.comparison.evidence import Evidence
from synthcp.comparison.feature_distance import FeatureDistance, refine_by_msp
from synthcp.comparison.logit_scores import one_minus_msp
from synthcp.comparison.network import ComparisonNetwork
from synthcp.nn.finite import require_finite
from synthcp.records import Detection, Prediction
from synthcp.synthesis.base import Generator


def feature_distances_of(
    feature_distance: FeatureDistance | None, image: Tensor, synthesis: Tensor, prediction: Prediction
) -> Tensor:
    """Return FeatureDistance.feature_distances of image and synthesis; no channels without M."""
    if feature_distance is None:
        return image.new_zeros(image.shape[0], 0, *image.shape[2:])
    return feature_distance.feature_distances(image, synthesis, prediction)


@dataclass(frozen=True)
class FailureComparator:
    """Predicts IoU per class and the error map (eq. 5), and beside them the anomaly map.

    Attributes:
        network: F.
        feature_distance: Eq. 9; at every layer it is evidence for F and the fusion, at its own layer the anomaly map
            without one. None when M is no live model, so that nobody can say what M sees in the synthesis.
        score: The error map: a Blend gives its probability, "raw" the sigmoid of F's log-odds, "sum" that plus 1 - MSP
            (the authors' release).
        fusion: The anomaly map, in place of eq. 9 refined by MSP.
    """

    network: ComparisonNetwork
    feature_distance: FeatureDistance | None
    score: Blend | str = "raw"
    fusion: AnomalyFusion | None = None

    def __call__(self, image: Tensor, synthesis: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Comparator)."""
        feature_distances = feature_distances_of(self.feature_distance, image, synthesis, prediction)
        evidence = Evidence(image, synthesis, prediction.logits, feature_distances)
        if self.fusion is not None and self.feature_distance is not None:
            evidence = replace(evidence, objectness=self.feature_distance.objectness(image, prediction))
        return self.judge(evidence)

    def judge(self, evidence: Evidence) -> Detection:
        """Judge evidence that was gathered before (shapes: see Evidence).

        Raises:
            DataError: A value is NaN or infinite.
        """
        error_log_odds, class_quality, surprise = self.network.judged(evidence)
        require_finite("F", error_log_odds, class_quality, surprise)  # before a sigmoid or a clamp hides it
        detection = Detection(
            error_map=self._score(error_log_odds, evidence.logits),
            raw_error_map=None if self.score == "raw" else error_log_odds.sigmoid(),
            anomaly_map=self._anomaly_map(evidence, surprise),
            class_quality=class_quality.clamp(0, 1),
        )
        require_finite("F", detection.error_map, detection.anomaly_map)
        return detection

    def _anomaly_map(self, evidence: Evidence, surprise: Tensor | None) -> Tensor | None:
        if self.feature_distance is None:
            return None
        if self.fusion is not None:
            return self.fusion(cues_of(evidence, surprise))
        confidence = 1 - one_minus_msp(evidence.logits)
        distance = evidence.feature_distances[:, 1:][:, self.feature_distance.layer]  # channel 0 belongs to no layer
        return refine_by_msp(distance, confidence, self.feature_distance.threshold)

    def _score(self, error_log_odds: Tensor, logits: Tensor) -> Tensor:
        if isinstance(self.score, Blend):
            return self.score(error_log_odds, logits)
        raw = error_log_odds.sigmoid()
        return raw + one_minus_msp(logits) if self.score == "sum" else raw


class SharedEvidence:
    """The evidence that several F look at, gathered once for each prediction: G and M cost more than F.

    Args:
        generator: G.
        feature_distance: Eq. 9; None when M is no live model.
    """

    def __init__(self, generator: Generator, feature_distance: FeatureDistance | None) -> None:
        self.generator = generator
        self.feature_distance = feature_distance
        self._last: tuple[Prediction, Evidence] | None = None

    def __call__(self, image: Tensor, prediction: Prediction) -> Evidence:
        """Return what there is to see in an image and the synthesis of its prediction (shapes: see Detector)."""
        if self._last is None or self._last[0] is not prediction:
            self._last = prediction, self._gathered(image, prediction)
        return self._last[1]

    def _gathered(self, image: Tensor, prediction: Prediction) -> Evidence:
        synthesis, distance = self.generator.draw(prediction.label_map, image), self.feature_distance
        objectness = None if distance is None else distance.objectness(image, prediction)
        different = feature_distances_of(distance, image, synthesis, prediction)
        return Evidence(image, synthesis, prediction.logits, different, objectness)
