"""Standardized max logits (Jung et al., ICCV 2021): the max logit as its class usually has it, smoothed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.comparison.logit_scores import negative_max_logit
from synthcp.comparison.smoothing import gaussian_smooth
from synthcp.errors import InputError
from synthcp.fitting.fit_data import FitData
from synthcp.nn.spatial import average_pool, dims_of
from synthcp.records import Detection, Prediction

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


@dataclass(frozen=True)
class MaxLogitSmoothing:
    """What is done to the standardized map; the defaults are the authors', for images of 1024 x 2048 pixels.

    Attributes:
        boundary: Half the width, in pixels, of the first band around boundaries that is filled from its outside; each
            further one is a pixel narrower on both sides (widths 8, 6, 4, 2). 0 leaves boundaries as they are.
        sigma: Of the Gaussian, in taps; 0 does not smooth.
        dilation: Pixels from one tap of the Gaussian to the next.
    """

    boundary: int = 4
    sigma: float = 1.0
    dilation: int = 6


@dataclass(frozen=True)
class StandardizedMaxLogits:
    """Scores -(max logit - mean_c) / deviation_c, c the predicted class, with both of the paper's smoothings.

    Attributes:
        statistics: Of the negative max logit, see fit_standardization.
        smoothing: Iterative boundary suppression, then dilated smoothing.
    """

    statistics: ClassStatistics
    smoothing: MaxLogitSmoothing = field(default_factory=MaxLogitSmoothing)

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        score = self.statistics.standardize(negative_max_logit(prediction.logits), prediction.label_map)
        score = suppress_boundaries(score, prediction.label_map, self.smoothing.boundary)
        score = gaussian_smooth(score, self.smoothing.sigma, truncate=3.0, dilation=self.smoothing.dilation)
        return Detection(error_map=score, anomaly_map=score)


def fit_standardization(predictions: Iterable[Prediction], classes: int) -> ClassStatistics:
    """Read mean and deviation of the negative max logit of each predicted class off in-distribution images.

    Args:
        predictions: Of M, one at a time; the paper takes those of the training images.
        classes: L.

    Raises:
        InputError: As fit_class_statistics.
    """
    pairs = ((negative_max_logit(prediction.logits), prediction.label_map) for prediction in predictions)
    return fit_class_statistics(pairs, classes)


def suppress_boundaries(score: Tensor, label_map: Tensor, width: int) -> Tensor:
    """Fill the pixels near a boundary between classes with what their neighbours farther from it say.

    This is the paper's iterative boundary suppression. The widest band comes first: its pixels take the mean of those
    in their 3 x 3 (x 3) window that lie outside of it, if there are any. The next band is a pixel narrower on each
    side, down to the two pixels that touch.

    Args:
        score: Shape (B, *S).
        label_map: Same shape.
        width: Half the width of the first band, in pixels of city-block distance; 0 changes nothing.
    """
    pool = average_pool(dims_of(score[:, None]), kernel=3, stride=1, padding=1)
    for band in reversed(_bands(label_map, width)):
        outside = (~band).to(score)
        share, total = pool(outside[:, None])[:, 0], pool((score * outside)[:, None])[:, 0]
        score = torch.where(band & (share > 0), total / share, score)
    return score


def _bands(label_map: Tensor, width: int) -> list[Tensor]:
    """Masks of all pixels less than 1, 2, ... width steps from a pixel that touches another class."""
    bands = [_touching(label_map)]
    while len(bands) < width:
        bands.append(_grown(bands[-1]))
    return bands[:width]


def _touching(label_map: Tensor) -> Tensor:
    mask = torch.zeros_like(label_map, dtype=torch.bool)
    for axis in range(1, label_map.ndim):
        differs, last = label_map.diff(dim=axis) != 0, label_map.shape[axis] - 1
        mask.narrow(axis, 0, last).logical_or_(differs)
        mask.narrow(axis, 1, last).logical_or_(differs)
    return mask


def _grown(mask: Tensor) -> Tensor:
    grown = mask.clone()
    for axis in range(1, mask.ndim):
        last = mask.shape[axis] - 1
        grown.narrow(axis, 0, last).logical_or_(mask.narrow(axis, 1, last))
        grown.narrow(axis, 1, last).logical_or_(mask.narrow(axis, 0, last))
    return grown


SMALL = MaxLogitSmoothing(boundary=1, sigma=1.0, dilation=1)
"""The smoothing for images of a seventh of the authors' sides."""


def fit_standardized_max_logits(data: FitData) -> Detector:
    """Fit the standardization to what M says of the training images."""
    said = (prediction for _, prediction in data.predictions())
    return StandardizedMaxLogits(fit_standardization(said, len(data.context.settings.classes)), SMALL)
