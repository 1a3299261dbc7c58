"""Uncertainty of every voxel by Monte Carlo dropout, summed up to one score per class (Jungo et al., Kwon et al.).

The detector is RegressedQuality(UncertaintyScore(uncertainty), regression). Papers on uncertainty maps rarely say how a
map became one number; here it is the mean over the voxels that are predicted as the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.comparison.logit_scores import entropy
from synthcp.fitting.fit_data import FitData
from synthcp.nn.labels import one_hot
from synthcp.records import Prediction
from synthcp.rivals.dropout import MonteCarloDropout
from synthcp.rivals.quality_regression import ClassScores, fit_isotonic, regressed


class VoxelUncertainty(Protocol):
    """How unsure M is of every voxel."""

    def __call__(self, image: Tensor, prediction: Prediction) -> Tensor:
        """Return at least 0, larger = less sure: of each class, shape (B, L, *S), or of all at once, (B, 1, *S)."""
        ...


@dataclass(frozen=True)
class PredictiveEntropy:
    """Entropy of the mean softmax over the passes, over log L (Jungo et al., MIDL 2018); of all classes at once.

    Attributes:
        dropout: The passes.
    """

    dropout: MonteCarloDropout

    def __call__(self, image: Tensor, prediction: Prediction) -> Tensor:
        """Measure (shapes: see VoxelUncertainty); in [0, 1]."""
        return entropy(self.dropout.mean_softmax(image, prediction).log())[:, None]


@dataclass(frozen=True)
class PredictiveVariance:
    """Variance of the label, class by class (Kwon et al., Computational Statistics and Data Analysis 142, 2020).

    With p the softmax of a pass and means over the passes, aleatoric mean(p (1 - p)) and epistemic mean(p^2) -
    mean(p)^2 together are mean(p) (1 - mean(p)), the same for any passes of the same mean.

    Attributes:
        dropout: The passes.
    """

    dropout: MonteCarloDropout

    def __call__(self, image: Tensor, prediction: Prediction) -> Tensor:
        """Measure (shapes: see VoxelUncertainty); in [0, 1 / 4]."""
        mean, _ = self.dropout.moments(image, prediction)
        return (mean * (1 - mean)).clamp(min=0)  # rounding can go below


@dataclass(frozen=True)
class UncertaintyScore:
    """Scores each class by the uncertainty of its voxels; larger should mean worse.

    Attributes:
        uncertainty: Of every voxel; summed over the classes it is the error map.
    """

    uncertainty: VoxelUncertainty

    def __call__(self, image: Tensor, prediction: Prediction) -> ClassScores:
        """Measure a prediction (shapes: see QualityScore)."""
        uncertainty = self.uncertainty(image, prediction)
        masks = one_hot(prediction.label_map, prediction.logits.shape[1])
        return ClassScores(uncertainty_scores(uncertainty, masks), uncertainty.sum(dim=1))


def uncertainty_scores(uncertainty: Tensor, masks: Tensor) -> Tensor:
    """Return the mean over each class's voxels, shape (B, L), at least 0; NaN where the prediction lacks the class.

    Args:
        uncertainty: See VoxelUncertainty.
        masks: One-hot prediction, shape (B, L, *S).
    """
    total, volume = (uncertainty * masks).flatten(2).sum(dim=2), masks.flatten(2).sum(dim=2)
    return (total / volume.clamp(min=1)).where(volume > 0, torch.nan)


def fit_entropy_quality(data: FitData) -> Detector:
    """Fit what the entropy means (Jungo et al.)."""
    return regressed(data, lambda m: UncertaintyScore(PredictiveEntropy(MonteCarloDropout(m))), fit_isotonic)


def fit_variance_quality(data: FitData) -> Detector:
    """Fit what the variance means (Kwon et al.)."""
    return regressed(data, lambda m: UncertaintyScore(PredictiveVariance(MonteCarloDropout(m))), fit_isotonic)
