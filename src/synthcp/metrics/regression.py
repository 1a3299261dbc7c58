"""How close is the predicted quality of a class to the true one? MAE, STD, Pearson and Spearman, mean over classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthcp.errors import InputError, ShapeError

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class RegressionScores:
    """Agreement of predicted with true values; NaN where undefined.

    Attributes:
        mae: Mean absolute residual.
        std: Standard deviation (ddof 0) of the ABSOLUTE residual, the authors' convention.
        std_signed: Standard deviation (ddof 0) of the signed residual.
        pearson: Linear correlation, in [-1, 1].
        spearman: Rank correlation, equal values sharing their mean rank, in [-1, 1].
        classes: Number of classes that enter `mae`, `std` and `std_signed`: those present in at least one image.
        correlated_classes: Number of classes that enter the correlations: those present in at least two images,
            with neither the true nor the predicted values all equal.
    """

    mae: float
    std: float
    std_signed: float
    pearson: float
    spearman: float
    classes: int
    correlated_classes: int


_ABSENT = RegressionScores(math.nan, math.nan, math.nan, math.nan, math.nan, classes=0, correlated_classes=0)


def class_quality_scores(true: Floats, predicted: Floats) -> RegressionScores:
    """Scores of each class over the images where it is present, then averaged over the classes.

    Args:
        true: shape (images, classes), NaN where the class is absent from the image.
        predicted: shape (images, classes); what it says of absent classes is not judged.

    Raises:
        InputError: A prediction is NaN or infinite, or a true value infinite, where the class is present.
        ShapeError: The shapes differ or are not (images, classes).
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.ndim != 2:
        raise ShapeError(f"true has shape {true.shape}; it must be (images, classes)")
    _check_same_shape(true, predicted)
    scores = [regression_scores(*columns) for columns in zip(true.T, predicted.T, strict=True)]
    present = [score for score in scores if score.classes]
    correlated = [score for score in scores if score.correlated_classes]
    return RegressionScores(
        mae=_mean([score.mae for score in present]),
        std=_mean([score.std for score in present]),
        std_signed=_mean([score.std_signed for score in present]),
        pearson=_mean([score.pearson for score in correlated]),
        spearman=_mean([score.spearman for score in correlated]),
        classes=len(present),
        correlated_classes=len(correlated),
    )


def regression_scores(true: Floats, predicted: Floats) -> RegressionScores:
    """Scores of one class, shape (images,) each; images where `true` is NaN are left out.

    Raises:
        InputError: A remaining value is NaN or infinite.
        ShapeError: The shapes differ or are not (images,).
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.ndim != 1:
        raise ShapeError(f"true has shape {true.shape}; it must be (images,)")
    _check_same_shape(true, predicted)
    truth, guess = _present(true, predicted)
    if not len(truth):
        return _ABSENT
    residual = guess - truth
    correlated = np.ptp(truth) > 0 and np.ptp(guess) > 0
    return RegressionScores(
        mae=float(np.abs(residual).mean()),
        std=float(np.abs(residual).std()),
        std_signed=float(residual.std()),
        pearson=_correlation(truth, guess) if correlated else math.nan,
        spearman=_correlation(_ranks(truth), _ranks(guess)) if correlated else math.nan,
        classes=1,
        correlated_classes=int(correlated),
    )


def _present(true: Floats, predicted: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both values of the images where the class is present, in double precision, checked to be finite."""
    present = ~np.isnan(true)
    truth, guess = true[present].astype(np.float64), predicted[present].astype(np.float64)
    if not (np.isfinite(truth).all() and np.isfinite(guess).all()):
        raise InputError("a true or predicted value is not finite where the class is present; every image needs one")
    return truth, guess


def _check_same_shape(true: Floats, predicted: Floats) -> None:
    if true.shape != predicted.shape:
        raise ShapeError(f"true {true.shape} and predicted {predicted.shape} differ in shape; give one value for each")


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    first, second = first - first.mean(), second - second.mean()
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank of each value from 1, equal values sharing their mean rank."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return ranks[group]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
