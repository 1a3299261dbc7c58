"""Our anomaly score: M's uncertainty, what the synthesis lacks and objectness, each measured by what is usual."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.comparison.logit_scores import energy, entropy
from synthcp.comparison.smoothing import gaussian_smooth
from synthcp.errors import InputError
from synthcp.ranges import COEFFICIENT, SHARE, check_count, check_ranges
from synthcp.records import Detection, Prediction

CUES = ("entropy", "energy", "distance", "objectness", "surprise")
ONE_EACH = (len(CUES), len(CUES))
SMALLEST_DISTANCE = 1e-3
"""Distances below count as this one, so that their logarithm is finite."""
SMALLEST_DEVIATION = 1e-4
"""Of a cue; one that varies less tells nothing, and must not outweigh the others by its rounding."""


def cues_of(evidence: Evidence, surprise: Tensor | None = None) -> Tensor:
    """Stack what tells of the unknown, in the order of CUES, shape (B, 5, *S); larger = more likely unknown.

    Two tell M's uncertainty: the entropy of its softmax, and its energy, which also sees that no class is likely. The
    third tells what the synthesis lacks: log of eq. 9, the mean over M's feature maps; 0 without one. The last
    tells how much there is to see: log of the distance to a blank canvas, over the deeper half of the maps; to be
    unsure of nothing is no anomaly.

    Args:
        evidence: Of M, with feature distances and objectness.
        surprise: Of F, how little the features of the image are those of its label map, shape (B, *S); 0 without.
    """
    assert evidence.objectness is not None  # the score is fitted only where M can look
    objectness = evidence.objectness[:, -math.ceil(evidence.objectness.shape[1] / 2) :]
    lack = evidence.feature_distances[:, 1:]  # channel 0 belongs to no layer; there is none where nothing is drawn
    doubt, unlikeliness = entropy(evidence.logits), energy(evidence.logits)
    lacking = _log_mean(lack) if lack.shape[1] else torch.zeros_like(doubt)
    surprise = torch.zeros_like(doubt) if surprise is None else surprise.float()
    return torch.stack([doubt, unlikeliness, lacking, _log_mean(objectness), surprise], dim=1)


def _log_mean(distances: Tensor) -> Tensor:
    return distances.float().clamp_min(SMALLEST_DISTANCE).log().mean(dim=1)


@dataclass(frozen=True)
class AnomalyFusion:
    """Sigmoid of the smoothed weighted mean of the cues, each in deviations from what it usually is.

    Unlike MSP's gate (t of eq. 9) no cue silences the others. benchmarks/anomaly_score.py tells how weights and
    smoothing were chosen.

    Attributes:
        means: Of each cue on known pixels.
        deviations: Standard deviation of each cue on known pixels, above 0.
        weights: Of each cue.
        smoothing: Standard deviation of the Gaussian, as a share of the shorter side.
    """

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    weights: tuple[float, ...] = (1.0, 1.0, 0.6, 1.0, 3.0)
    smoothing: float = 1 / 144

    def __post_init__(self) -> None:
        check_count(self, means=ONE_EACH, deviations=ONE_EACH, weights=ONE_EACH)
        check_ranges(
            self, means=COEFFICIENT, deviations=(SMALLEST_DEVIATION / 2, 1e6), weights=COEFFICIENT, smoothing=SHARE
        )

    def __call__(self, cues: Tensor) -> Tensor:
        """Return the score, shape (B, *S), in (0, 1), of the cues of cues_of."""
        score, total = torch.zeros_like(cues[:, 0]), sum(self._telling_weights())
        for cue, mean, deviation, weight in zip(
            cues.unbind(1), self.means, self.deviations, self._telling_weights(), strict=True
        ):
            score += weight / max(total, SMALLEST_DEVIATION) * (cue - mean) / deviation
        return gaussian_smooth(score, self.smoothing * min(score.shape[1:])).sigmoid()

    def _telling_weights(self) -> list[float]:
        """The weights, 0 of a cue that never varies, as where nothing is drawn or no features are expected."""
        pairs = zip(self.weights, self.deviations, strict=True)
        return [weight if deviation > SMALLEST_DEVIATION else 0.0 for weight, deviation in pairs]


def fit_fusion(cues: Iterable[Tensor]) -> AnomalyFusion:
    """Measure what is usual, on images without anomalies.

    Args:
        cues: Of each image, shape (B, 5, *S), as cues_of gives them.

    Raises:
        InputError: There is no image.
    """
    count, total, squares = 0, torch.zeros(len(CUES)).double(), torch.zeros(len(CUES)).double()
    for image in cues:
        values = image.double().movedim(1, 0).flatten(1).cpu()
        count += values.shape[1]
        total += values.sum(dim=1)
        squares += values.square().sum(dim=1)
    if not count:
        raise InputError("no image tells what is usual for the anomaly score; fit on one or more")
    means = total / count
    deviations = (squares / count - means.square()).clamp_min(SMALLEST_DEVIATION**2).sqrt()
    return AnomalyFusion(tuple(means.tolist()), tuple(deviations.tolist()))


@dataclass(frozen=True)
class FusedAnomaly:
    """The fused score as a comparator.

    Attributes:
        feature_distance: Eq. 9, with M.
        fusion: The score.
    """

    feature_distance: FeatureDistance
    fusion: AnomalyFusion

    def __call__(self, image: Tensor, synthesis: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Comparator)."""
        return Detection(anomaly_map=self.fusion(fused_cues(self.feature_distance, image, synthesis, prediction)))


def fused_cues(feature_distance: FeatureDistance, image: Tensor, synthesis: Tensor, prediction: Prediction) -> Tensor:
    """Return cues_of an image and its synthesis, as M sees them."""
    feature_distances = feature_distance.feature_distances(image, synthesis, prediction)
    objectness = feature_distance.objectness(image, prediction)
    return cues_of(Evidence(image, synthesis, prediction.logits, feature_distances, objectness))
