"""Mean and spread of a score per predicted class: with them, scores of different classes and kinds compare."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.errors import InputError

Moments = tuple[Tensor, Tensor, Tensor]
"""Of every class: number of pixels, mean, sum of squared deviations from it; each of shape (L,), float64."""


@dataclass(frozen=True)
class ClassStatistics:
    """What a score usually is, class by class; plain numbers, so that they go to JSON.

    Attributes:
        means: Of the score, per class.
        deviations: Its standard deviation, per class; above 0.
    """

    means: tuple[float, ...]
    deviations: tuple[float, ...]

    def standardize(self, score: Tensor, label_map: Tensor) -> Tensor:
        """Return z = (score - mean_c) / deviation_c, c the class of the pixel.

        Args:
            score: Any score map, shape (B, *S).
            label_map: Classes in [0, L), same shape.
        """
        means, deviations = (score.new_tensor(values) for values in (self.means, self.deviations))
        return (score - means[label_map]) / deviations[label_map]


@torch.no_grad()
def fit_class_statistics(pairs: Iterable[tuple[Tensor, Tensor]], classes: int, fewest: int = 2) -> ClassStatistics:
    """Read the statistics off in-distribution images, one pair at a time, in double precision.

    Args:
        pairs: Score map (B, *S) and label map (B, *S), of any size; a pixel whose label is no class counts for nothing.
        classes: L.
        fewest: A class with fewer pixels, or with pixels that all score the same, takes the statistics of all pixels.

    Raises:
        InputError: A score is NaN or infinite, no pixel has a class, or all pixels score the same.
    """
    moments: Moments = (torch.zeros(classes).double(), torch.zeros(classes).double(), torch.zeros(classes).double())
    for score, label_map in pairs:
        moments = _together(moments, _moments(score, label_map, classes))
    count, means, squares = moments
    mean, deviation = _pooled(moments)
    if not deviation > 0:
        raise InputError(f"{int(count.sum())} pixels with one and the same score have no spread; use more images")
    deviations = (squares / count).sqrt()
    own = (count >= fewest) & (deviations > 0)
    return ClassStatistics(tuple(means.where(own, mean).tolist()), tuple(deviations.where(own, deviation).tolist()))


def _moments(score: Tensor, label_map: Tensor, classes: int) -> Moments:
    known = (label_map >= 0) & (label_map < classes)
    labels, values = label_map[known].cpu(), score[known].double().cpu()
    if not values.isfinite().all():
        raise InputError("a score is NaN or infinite, so it has no mean; check the predictions")
    count = torch.bincount(labels, minlength=classes).double()
    means = torch.bincount(labels, values, classes) / count.clamp(min=1)
    return count, means, torch.bincount(labels, (values - means[labels]).square(), classes)


def _together(first: Moments, second: Moments) -> Moments:
    """Moments of two sets of pixels at once (Chan, Golub and LeVeque, 1979)."""
    count = first[0] + second[0]
    share = second[0] / count.clamp(min=1)
    step = second[1] - first[1]
    return count, first[1] + share * step, first[2] + second[2] + first[0] * share * step.square()


def _pooled(moments: Moments) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of all pixels; NaN without pixels."""
    count, means, squares = moments
    mean = (count * means).sum() / count.sum()
    return mean, ((squares + count * (means - mean).square()).sum() / count.sum()).sqrt()
