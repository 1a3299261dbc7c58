"""Uncertainty of every voxel by Monte Carlo dropout, summed up to one score per class (Jungo et al., Kwon et al.).

The detector is RegressedQuality(UncertaintyScore(uncertainty, aggregator), regression). Papers on uncertainty maps
rarely say how a map became one number; here each way has a name, and a result names it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from synthcp.comparison.logit_scores import entropy
from synthcp.nn.labels import one_hot
from synthcp.nn.spatial import dims_of, max_pool
from synthcp.records import Prediction
from synthcp.rivals.dropout import MonteCarloDropout
from synthcp.rivals.quality_regression import ClassScores


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

    With p the softmax of a pass and means over the passes: aleatoric is mean(p (1 - p)), epistemic mean(p^2) -
    mean(p)^2. Their total is mean(p) (1 - mean(p)), the same for any passes of the same mean.

    Attributes:
        dropout: The passes.
        part: Which part of the variance.
    """

    dropout: MonteCarloDropout
    part: Literal["total", "aleatoric", "epistemic"] = "total"

    def __call__(self, image: Tensor, prediction: Prediction) -> Tensor:
        """Measure (shapes: see VoxelUncertainty); in [0, 1 / 4]."""
        mean, mean_square = self.dropout.moments(image, prediction)
        parts = {"aleatoric": mean - mean_square, "epistemic": mean_square - mean.square(), "total": mean * (1 - mean)}
        return parts[self.part].clamp(min=0)  # rounding can go below


Aggregator = Callable[[Tensor, Tensor], Tensor]
"""From an uncertainty of each class and the mask of each class, shape (B, L, *S) twice, to (B, L)."""


def total(uncertainty: Tensor, masks: Tensor) -> Tensor:
    """Sum over the volume."""
    return uncertainty.flatten(2).sum(dim=2)


def mean_of_volume(uncertainty: Tensor, masks: Tensor) -> Tensor:
    """Mean over all voxels of the volume."""
    return uncertainty.flatten(2).mean(dim=2)


def mean_of_foreground(uncertainty: Tensor, masks: Tensor) -> Tensor:
    """Mean over the voxels predicted as the class."""
    return total(uncertainty * masks, masks) / _volume(masks)


def total_per_volume(uncertainty: Tensor, masks: Tensor) -> Tensor:
    """Sum over the volume, per voxel predicted as the class; what is unsure around a small object counts much."""
    return total(uncertainty, masks) / _volume(masks)


def _volume(masks: Tensor) -> Tensor:
    return masks.flatten(2).sum(dim=2).clamp(min=1)


AGGREGATORS: dict[str, Aggregator] = {
    "sum": total,
    "mean": mean_of_volume,
    "foreground mean": mean_of_foreground,
    "sum / volume": total_per_volume,
}


@dataclass(frozen=True)
class UncertaintyScore:
    """Scores each class by the uncertainty of its voxels; larger should mean worse, which the regression's signs tell.

    Attributes:
        uncertainty: Of every voxel; summed over the classes it is the error map.
        aggregator: A name of AGGREGATORS.
        reach: An uncertainty of all classes at once is for each class that of the voxels no further than this, along
            every axis, from those predicted as the class: its inside and its boundary. None takes the whole volume.
    """

    uncertainty: VoxelUncertainty
    aggregator: str = "foreground mean"
    reach: int | None = 3

    def __call__(self, image: Tensor, prediction: Prediction) -> ClassScores:
        """Measure a prediction (shapes: see QualityScore)."""
        uncertainty = self.uncertainty(image, prediction)
        masks = one_hot(prediction.label_map, prediction.logits.shape[1])
        return ClassScores(uncertainty_scores(uncertainty, masks, self.aggregator, self.reach), uncertainty.sum(dim=1))


def uncertainty_scores(uncertainty: Tensor, masks: Tensor, aggregator: str, reach: int | None = 3) -> Tensor:
    """Return one score per class, shape (B, L), at least 0; NaN where the prediction does not hold the class.

    Args:
        uncertainty: See VoxelUncertainty.
        masks: One-hot prediction, shape (B, L, *S).
        aggregator: A name of AGGREGATORS.
        reach: See UncertaintyScore.
    """
    if uncertainty.shape[1] == 1:
        uncertainty = uncertainty * (torch.ones_like(masks) if reach is None else grown(masks, reach))
    held = masks.flatten(2).any(dim=2)
    return AGGREGATORS[aggregator](uncertainty, masks).where(held, torch.nan)


def grown(masks: Tensor, reach: int) -> Tensor:
    """Return masks (B, L, *S) of 0 and 1, grown by a number of voxels along every axis."""
    by_one = max_pool(dims_of(masks), kernel=3, stride=1, padding=1)
    for _ in range(reach):
        masks = by_one(masks)
    return masks
