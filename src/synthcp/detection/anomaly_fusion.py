"""Our anomaly score: what M doubts and what it misses in the drawing, each measured by what is usual."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.detection.feature_distance import FeatureDistance
from synthcp.detection.logit_scores import energy
from synthcp.detection.smoothing import gaussian_smooth
from synthcp.errors import InputError
from synthcp.records import Detection, Prediction

SMALLEST_DISTANCE = 1e-3
"""Distances below count as this one, so that their logarithm is finite."""


@dataclass(frozen=True)
class Usual:
    """What a cue is on known pixels.

    Attributes:
        mean: Of the cue.
        deviation: Its standard deviation, above 0.
    """

    mean: float
    deviation: float

    def standardize(self, cue: Tensor) -> Tensor:
        """Return how many deviations above the mean."""
        return (cue - self.mean) / self.deviation


@dataclass(frozen=True)
class AnomalyFusion:
    """Sigmoid of the smoothed weighted mean of z(energy) and z(log distance), z measured on images without anomalies.

    The energy, -logsumexp of M's logits, tells what M doubts; the distance is eq. 9, the mean over the deeper half of
    M's feature maps, and tells what the drawing lacks. Unlike MSP's gate (t of eq. 9) neither silences the other.

    Attributes:
        energy: On known pixels.
        distance: Log of the distance on known pixels.
        drawing: Weight of the distance beside the energy.
        smoothing: Standard deviation of the Gaussian, as a share of the shorter side.
    """

    energy: Usual
    distance: Usual
    drawing: float = 0.6
    smoothing: float = 1 / 144

    def __call__(self, logits: Tensor, disagreement: Tensor) -> Tensor:
        """Return the score, shape (B, *S), in (0, 1).

        Args:
            logits: Of M for the image, shape (B, L, *S).
            disagreement: What M finds different between image and drawing, shape (B, 1 + layers, *S).
        """
        doubt = self.energy.standardize(energy(logits))
        lack = self.distance.standardize(log_distance(disagreement))
        sigma = self.smoothing * min(doubt.shape[1:])
        return gaussian_smooth((doubt + self.drawing * lack) / (1 + self.drawing), sigma).sigmoid()


def log_distance(disagreement: Tensor) -> Tensor:
    """Return the log of eq. 9, averaged over the deeper half of M's feature maps, shape (B, *S).

    Args:
        disagreement: Shape (B, 1 + layers, *S); see FeatureDistance.disagreement.
    """
    layers = disagreement.shape[1] - 1
    deeper = disagreement[:, -math.ceil(layers / 2) :].float()
    return deeper.clamp_min(SMALLEST_DISTANCE).log().mean(dim=1)


def fit_fusion(evidence: Iterable[tuple[Tensor, Tensor]]) -> AnomalyFusion:
    """Measure what is usual, on images without anomalies.

    Args:
        evidence: Logits (B, L, *S) and disagreement (B, 1 + layers, *S) of each image.

    Raises:
        InputError: There is no image, or a cue is the same everywhere.
    """
    sums = torch.zeros(2, 3, dtype=torch.float64)  # per cue: pixels, sum, sum of squares
    for logits, disagreement in evidence:
        for row, cue in zip(sums, (energy(logits), log_distance(disagreement)), strict=True):
            values = cue.double()
            row += torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum()]).cpu()
    usual_energy, usual_distance = (_usual(*row.tolist()) for row in sums)
    return AnomalyFusion(usual_energy, usual_distance)


def _usual(pixels: float, total: float, squares: float) -> Usual:
    mean = total / pixels if pixels else math.nan
    variance = squares / pixels - mean**2 if pixels else math.nan
    if not variance > 0:
        raise InputError(f"{pixels:.0f} pixels tell of no spread in M's answers; fit on more images, of several kinds")
    return Usual(mean, math.sqrt(variance))


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
        disagreement = self.feature_distance.disagreement(image, synthesis, prediction)
        return Detection(anomaly_map=self.fusion(prediction.logits, disagreement))
