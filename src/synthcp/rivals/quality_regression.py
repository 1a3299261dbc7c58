"""From one score per class to its quality: what the rivals share that score a prediction and learn what that means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from torch import Tensor

from synthcp.errors import InputError, ShapeError
from synthcp.fitting.fit_data import FitData
from synthcp.records import Detection, Prediction
from synthcp.segmentation.base import Segmenter

Floats = NDArray[np.float64]

EMPTY = 0.0
"""Predicted quality of a class that the prediction does not hold. For IoU, judged where the class is truly there, it is
right. For Dice it is a guess: that of an empty prediction is 1 if the class is truly absent and 0 if it was missed, and
no score of an empty set can tell which."""


@dataclass(frozen=True)
class ClassScores:
    """What is measured on a batch of predictions.

    Attributes:
        scores: shape (B, L), of any range and either direction; NaN where the prediction does not hold the class.
        error_map: The voxels that the scores sum up, shape (B, *S), larger = more likely wrong; None without any.
    """

    scores: Tensor
    error_map: Tensor | None = None


QualityScore = Callable[[Tensor, Prediction], ClassScores]
"""Measures a prediction (image, prediction) class by class; shapes: see Detector."""

QualityRegression = Callable[[Tensor], Tensor]
"""What a score means: from (B, L) to predicted quality (B, L) in [0, 1], EMPTY where a score is NaN."""


@dataclass(frozen=True)
class RegressedQuality:
    """The detector of a score and its regression.

    Attributes:
        score: What is measured.
        regression: What it means, fitted on imperfect predictions.
    """

    score: QualityScore
    regression: QualityRegression

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        found = self.score(image, prediction)
        return Detection(error_map=found.error_map, class_quality=self.regression(found.scores))


@dataclass(frozen=True)
class Line:
    """Quality = slope * score + intercept, clamped to [0, 1]; plain numbers, so that they go to JSON.

    Attributes:
        slopes: Per class.
        intercepts: Per class.
    """

    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]

    def __call__(self, scores: Tensor) -> Tensor:
        """Predict (shapes: see QualityRegression)."""
        slopes, intercepts = (scores.new_tensor(values) for values in (self.slopes, self.intercepts))
        return _in_range(slopes * scores + intercepts, scores)


@dataclass(frozen=True)
class Isotonic:
    """Quality as a monotone curve, straight between its knots and level beyond them; plain numbers.

    Attributes:
        scores: Knots per class, rising.
        qualities: Of the knots, per class, rising or falling.
    """

    scores: tuple[tuple[float, ...], ...]
    qualities: tuple[tuple[float, ...], ...]

    def __call__(self, scores: Tensor) -> Tensor:
        """Predict (shapes: see QualityRegression)."""
        columns = scores.double().cpu().numpy().T
        curves = zip(columns, self.scores, self.qualities, strict=True)
        quality = np.stack([np.interp(*curve) for curve in curves], axis=1)
        return _in_range(torch.from_numpy(quality).to(scores), scores)


@dataclass(frozen=True)
class LinearMap:
    """The quality of each class from the scores of all, clamped to [0, 1]; plain numbers, so that they go to JSON.

    Attributes:
        weights: Per class, of every class's score.
        intercepts: Per class.
    """

    weights: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]

    def __call__(self, scores: Tensor) -> Tensor:
        """Predict (shapes: see QualityRegression); NaN if a score is, for none can be left out."""
        weights, intercepts = (scores.new_tensor(values) for values in (self.weights, self.intercepts))
        weighted = weights * scores.unsqueeze(1)  # no matrix product: autocast would take bfloat16
        return (weighted.sum(dim=2) + intercepts).clamp(0, 1)


def fit_line(scores: Tensor, quality: Tensor) -> Line:
    """Fit a line to each class by least squares.

    A class whose score is the same in all predictions gets its mean quality. One that no prediction holds gets the mean
    of all its true qualities, and one that is judged nowhere the mean over all other classes.

    Args:
        scores: Of predictions on images that M has not seen, shape (N, L); NaN where a prediction lacks the class.
        quality: True quality, shape (N, L); NaN where it is not judged.

    Raises:
        InputError: A value is infinite, or there is no true quality at all.
        ShapeError: The shapes differ or are not (N, L).
    """
    slopes, intercepts = zip(*(_line(*pairs) for pairs in _pairs_by_class(scores, quality)), strict=True)
    return Line(slopes, intercepts)


def fit_isotonic(scores: Tensor, quality: Tensor) -> Isotonic:
    """Fit a monotone curve to each class by least squares (pool adjacent violators), rising or falling as fits better.

    Arguments, errors, and classes without scores or true qualities: as in `fit_line`.
    """
    knots, qualities = zip(*(_curve(*pairs) for pairs in _pairs_by_class(scores, quality)), strict=True)
    return Isotonic(knots, qualities)


def fit_linear(scores: Tensor, quality: Tensor, ridge: float = 1e-3) -> LinearMap:
    """Fit the quality of each class to the scores of all classes by least squares, where it is judged.

    A class that is judged nowhere gets the mean over all other classes.

    Args:
        scores: As in `fit_line`, but never NaN.
        quality: As in `fit_line`.
        ridge: Weight of the squared weights, of scores in standard deviations, beside the mean squared error. It keeps
            the map finite where predictions are few or scores go together.

    Raises:
        InputError: A score is NaN, or as in `fit_line`.
        ShapeError: As in `fit_line`.
    """
    inputs, targets = _checked(scores, quality)
    if np.isnan(inputs).any():
        raise InputError(
            "a score is NaN, but a linear map takes those of all classes; fit a line to each class instead"
        )
    judged = [~np.isnan(true) for true in targets.T]
    fitted = [_plane(inputs[rows], true[rows], ridge) for rows, true in zip(judged, targets.T, strict=True)]
    weights, intercepts = zip(*fitted, strict=True)
    return LinearMap(weights, intercepts)


def _line(score: Floats, quality: Floats) -> tuple[float, float]:
    centred = score - score.mean()
    spread = centred @ centred
    slope = float(centred @ quality / spread) if np.ptp(score) > 0 and np.ptp(quality) > 0 else 0.0
    return slope, float(quality.mean() - slope * score.mean())


def _plane(scores: Floats, quality: Floats, ridge: float) -> tuple[tuple[float, ...], float]:
    """Weights and intercept of one class, from scores (n, L) and its quality (n,)."""
    means, deviations = scores.mean(axis=0), scores.std(axis=0)
    varies = np.ptp(scores, axis=0) > 0
    deviations[~varies] = 1
    standard = (scores - means) * varies / deviations
    curvature = standard.T @ standard / len(scores) + ridge * np.eye(scores.shape[1])
    slopes = np.linalg.solve(curvature, standard.T @ (quality - quality.mean()) / len(scores)) / deviations
    return tuple(slopes.tolist()), float(quality.mean() - slopes @ means)


def _curve(score: Floats, quality: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    knots, group, counts = np.unique(score, return_inverse=True, return_counts=True)
    means = np.bincount(group, quality) / counts
    rising, falling = (isotonic_regression(means, weights=counts, increasing=way).x for way in (True, False))
    best = min(rising, falling, key=lambda curve: float(counts @ (curve - means) ** 2))
    return tuple(knots.tolist()), tuple(best.tolist())


def _pairs_by_class(scores: Tensor, quality: Tensor) -> Iterator[tuple[Floats, Floats]]:
    """Scores and true qualities of each class, where both are known."""
    for score, true in zip(*(values.T for values in _checked(scores, quality)), strict=True):
        judged = ~np.isnan(true)
        scored = judged & ~np.isnan(score)
        yield (score[scored], true[scored]) if scored.any() else (np.zeros(1), true[judged].mean(keepdims=True))


def _checked(scores: Tensor, quality: Tensor) -> tuple[Floats, Floats]:
    """Scores and true qualities as arrays (N, L); a class that is judged nowhere has the mean over all others."""
    if scores.ndim != 2 or scores.shape != quality.shape:
        shapes = f"scores {tuple(scores.shape)} and quality {tuple(quality.shape)}"
        raise ShapeError(f"{shapes} must both be (predictions, classes); give one of each for every class")
    if scores.isinf().any() or quality.isinf().any():
        raise InputError("a score or a true quality is infinite, which no regression fits; check the predictions")
    if quality.isnan().all():
        raise InputError(f"{len(quality)} predictions have no true quality to learn from; use images with label maps")
    true = quality.double().cpu()
    true = true.where(~true.isnan().all(dim=0), true.nanmean())
    return scores.double().cpu().numpy(), true.numpy()


def _in_range(quality: Tensor, scores: Tensor) -> Tensor:
    return quality.clamp(0, 1).masked_fill(scores.isnan(), EMPTY)


def regressed(
    data: FitData,
    score_of: Callable[[Segmenter], QualityScore],
    fit: Callable[[Tensor, Tensor], QualityRegression],
    indices: Sequence[int] | None = None,
) -> RegressedQuality:
    """Return the detector of a score, its meaning learnt from imperfect predictions of training images.

    Args:
        data: Of the run.
        score_of: The score, of the M that it is about.
        fit: Of the regression, from scores and true quality, shape (N, L) each.
        indices: Of the images; None takes the usual ones.
    """
    indices, scores, quality = data.usual if indices is None else indices, list[Tensor](), list[Tensor]()
    for example in data.examples(indices):
        with data.runtime.autocast():
            scores.append(score_of(example.segmenter)(example.image, example.prediction).scores[0].float().cpu())
        quality.append(example.quality)
        data.context.progress("regression", len(scores), len(data.views) * len(indices), {})
    return RegressedQuality(score_of(data.segmenter), fit(torch.stack(scores).double(), torch.stack(quality)))
