"""Which predictions to keep: the risk-coverage curve and its area, and whether a predicted quality can be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthcp.errors import InputError, ShapeError

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class RiskCoverage:
    """Mean loss of the accepted predictions, as more and more of them are accepted, the best predicted first.

    Predictions of equal quality have no order: the risk is its mean over all of their orders. So the curve does not
    depend on the order of the input, and a quality that is the same everywhere has a flat curve.

    Attributes:
        coverage: Share of predictions accepted, 1 / N to 1, shape (N,).
        risk: Mean loss of the accepted ones, shape (N,).
        aurc: Area under the curve: the mean of `risk` (Geifman and El-Yaniv, 2017); NaN without predictions.
        excess_aurc: What `aurc` has more than that of the best order, by the loss itself; at least 0.
    """

    coverage: Floats
    risk: Floats
    aurc: float
    excess_aurc: float


def risk_coverage(quality: Floats, losses: Floats) -> RiskCoverage:
    """The curve of predictions with these predicted qualities and true losses, shape (N,) each.

    Args:
        quality: Larger is accepted first.
        losses: Such as 1 - IoU, or 1 for a bad prediction and 0 for a good one.

    Raises:
        InputError: A value is NaN or infinite.
        ShapeError: The shapes differ or are not (N,).
    """
    quality, losses = _checked(quality, losses)
    risk, least = _risk(quality, losses), _risk(-losses, losses)
    count = len(losses)
    return RiskCoverage(np.arange(1, count + 1) / max(count, 1), risk, _mean(risk), _mean(risk) - _mean(least))


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions whose predicted quality is about the same; the means are NaN when there is none.

    Attributes:
        low: Lower edge, part of the bin.
        high: Upper edge, part of the next bin; 1 is part of the last.
        predictions: How many there are.
        predicted: Mean predicted quality.
        true: Mean true quality; equal to `predicted` where the prediction can be believed.
    """

    low: float
    high: float
    predictions: int
    predicted: float
    true: float


def reliability(predicted: Floats, true: Floats, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Mean true quality beside the predicted, in bins of equal width over [0, 1]; shape (N,) each.

    Raises:
        InputError: A value is not in [0, 1].
        ShapeError: The shapes differ or are not (N,).
    """
    predicted, true = _checked(predicted, true)
    if any(((values < 0) | (values > 1)).any() for values in (predicted, true)):
        raise InputError("a predicted or true quality is not in [0, 1]; give an IoU or Dice")
    edges = np.arange(bins + 1) / bins
    bin_of = np.searchsorted(edges[1:-1], predicted, side="right")
    members = [bin_of == index for index in range(bins)]
    return tuple(
        ReliabilityBin(float(low), float(high), int(inside.sum()), _mean(predicted[inside]), _mean(true[inside]))
        for low, high, inside in zip(edges, edges[1:], members, strict=False)
    )


def _risk(quality: Floats, losses: Floats) -> Floats:
    """Mean loss of the k best predicted, for k from 1 to N; within ties each has the mean loss of them all."""
    _, block, sizes = np.unique(-quality, return_inverse=True, return_counts=True)
    expected = np.repeat(np.bincount(block, weights=losses, minlength=len(sizes)) / sizes, sizes)
    return np.cumsum(expected) / np.arange(1, len(losses) + 1)


def _checked(first: Floats, second: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ShapeError(f"shapes {one.shape} and {other.shape} must be equal, (N,); give two values for each image")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise InputError("a quality or loss is not finite; leave out the images without one")
    return one, other


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan
