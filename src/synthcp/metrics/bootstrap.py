"""How sure is a number measured on a few cases? Percentile intervals of the paired bootstrap over cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcp.errors import ShapeError
from synthcp.metrics.regression import regression_scores
from synthcp.metrics.risk import risk_coverage

Floats = NDArray[np.floating]

Statistic = Callable[..., float]
"""From columns, one row for each case, to a number; NaN where it is undefined."""

QUALITY_STATISTICS: dict[str, Statistic] = {
    "MAE": lambda true, predicted: regression_scores(true, predicted).mae,
    "Pearson": lambda true, predicted: regression_scores(true, predicted).pearson,
    "Spearman": lambda true, predicted: regression_scores(true, predicted).spearman,
    "AURC": lambda true, predicted: risk_coverage(predicted, 1 - true).aurc,
}
"""Of true and predicted quality, shape (N,) each: how close, and (by the loss 1 - quality) how well ordered."""


@dataclass(frozen=True)
class Interval:
    """A statistic with its uncertainty over the choice of cases.

    Attributes:
        value: On the cases as they are.
        low: Lower end; NaN when the statistic is undefined on every resample.
        high: Upper end, likewise.
        defined: Number of resamples on which the statistic is defined; the interval is theirs. With few cases a
            correlation is undefined where all drawn ones are alike.
    """

    value: float
    low: float
    high: float
    defined: int


def bootstrap(
    statistic: Statistic, *columns: NDArray[Any], samples: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return a statistic and its percentile interval (Efron and Tibshirani, 1993, chapter 13).

    Cases are drawn with replacement, whole rows at a time, so that what belongs together stays together.

    Args:
        statistic: Called with the columns.
        columns: One row for each case, shape (N, ...) each.
        samples: Number of resamples.
        seed: Of the draws; the same seed draws the same cases for any statistic.
        level: Coverage, in (0, 1).

    Raises:
        ShapeError: The columns differ in length.
    """
    rows = [np.asarray(column) for column in columns]
    count = len(rows[0])
    if any(len(column) != count for column in rows):
        lengths = ", ".join(str(len(column)) for column in rows)
        raise ShapeError(f"columns of {lengths} cases cannot be resampled together; give one row for each case")
    value = statistic(*rows)
    draws = np.random.default_rng(seed).integers(0, count, (samples, count)) if count else ()
    drawn = np.array([statistic(*(column[cases] for column in rows)) for cases in draws], np.float64)
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Interval(value, np.nan, np.nan, 0)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), len(drawn))


def bootstrap_difference(
    statistic: Statistic, true: Floats, first: Floats, second: Floats, *, samples: int = 1000, seed: int = 0
) -> Interval:
    """Return statistic(true, first) - statistic(true, second) on the same cases, with its 95 % interval.

    Two predictors differ beyond the choice of cases where the interval leaves out 0. Arguments as in `bootstrap`.
    """

    def difference(true: Floats, first: Floats, second: Floats) -> float:
        return statistic(true, first) - statistic(true, second)

    return bootstrap(difference, true, first, second, samples=samples, seed=seed)
