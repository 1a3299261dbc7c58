from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from synthcp.errors import ShapeError
from synthcp.metrics.bootstrap import QUALITY_STATISTICS, bootstrap, bootstrap_difference
from synthcp.metrics.regression import class_quality_scores

Floats = NDArray[np.float64]


def predictors(seed: int, count: int = 60) -> tuple[Floats, Floats, Floats]:
    """True quality, a good guess of it and a bad one."""
    rng = np.random.default_rng(seed)
    true = rng.random(count)
    good, bad = (true + noise * rng.standard_normal(count) for noise in (0.1, 0.4))
    return true, good, bad


def aurc(true: Floats, predicted: Floats) -> float:
    risks = 1 - true[np.argsort(-predicted, kind="stable")]
    return float(np.mean([risks[:k].mean() for k in range(1, len(risks) + 1)]))


ORACLES = {
    "MAE": lambda true, predicted: float(np.abs(true - predicted).mean()),
    "Pearson": lambda true, predicted: stats.pearsonr(true, predicted).statistic,
    "Spearman": lambda true, predicted: stats.spearmanr(true, predicted).statistic,
    "AURC": aurc,
}


@pytest.mark.parametrize("name", QUALITY_STATISTICS)
def test_the_statistics_of_scipy(name: str) -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.random(40), rng.random(40)
    assert QUALITY_STATISTICS[name](true, predicted) == pytest.approx(ORACLES[name](true, predicted))


@pytest.mark.parametrize("name", ["MAE", "Pearson"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_interval_of_scipy(name: str, seed: int) -> None:
    true, good, _ = predictors(seed)
    found = bootstrap(QUALITY_STATISTICS[name], true, good, samples=200, seed=seed)
    oracle = stats.bootstrap(
        (true, good),
        ORACLES[name],
        n_resamples=200,
        paired=True,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-9)
    assert found.value == pytest.approx(ORACLES[name](true, good)) and found.defined == 200


@pytest.mark.parametrize("name", QUALITY_STATISTICS)
def test_the_difference_by_loop(name: str) -> None:
    true, good, bad = predictors(2, count=25)
    statistic, rng, drawn = ORACLES[name], np.random.default_rng(5), []
    for cases in rng.integers(0, 25, (50, 25)):
        drawn.append(statistic(true[cases], good[cases]) - statistic(true[cases], bad[cases]))
    found = bootstrap_difference(QUALITY_STATISTICS[name], true, good, bad, samples=50, seed=5)
    assert found.value == pytest.approx(statistic(true, good) - statistic(true, bad))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    assert found.low <= found.value <= found.high


def test_pairing_tells_predictors_apart_that_their_intervals_do_not() -> None:
    rng = np.random.default_rng(3)
    true = rng.random(80)
    hard = 0.3 * rng.standard_normal(80)  # what both get wrong
    first, second = true + hard, true + 1.15 * hard
    mae = QUALITY_STATISTICS["MAE"]
    alone = [bootstrap(mae, true, predicted) for predicted in (first, second)]
    assert alone[0].high > alone[1].low
    difference = bootstrap_difference(mae, true, first, second)
    assert difference.low < difference.high < 0
    back = bootstrap_difference(mae, true, second, first)
    assert (back.low, back.high) == pytest.approx((-difference.high, -difference.low))


def test_about_95_of_100_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        found = bootstrap(lambda column: float(column.mean()), rng.normal(2, 1, 40), samples=200, seed=seed)
        held += found.low <= 2 <= found.high
    assert 180 <= held <= 198


def test_rows_stay_whole() -> None:
    rows = np.arange(24.0).reshape(12, 2)

    def statistic(both: Floats, left: Floats) -> float:
        assert (both[:, 0] == left).all() and (both[:, 1] == left + 1).all()
        return float(left.mean())

    assert bootstrap(statistic, rows, rows[:, 0], samples=20).defined == 20
    quality = np.random.default_rng(0).random((30, 3))
    found = bootstrap(lambda true, guess: class_quality_scores(true, guess).mae, quality, quality[::-1], samples=100)
    assert found.low < found.value < found.high


def test_resamples_without_a_value_are_left_out_and_counted() -> None:
    true, predicted = np.array([0.1, 0.1, 0.9]), np.array([0.2, 0.3, 0.8])
    found = bootstrap(QUALITY_STATISTICS["Pearson"], true, predicted, samples=400)
    # All true values are equal where the third case is never drawn (8 in 27) or alone (1 in 27).
    assert found.defined == pytest.approx(400 * 18 / 27, abs=30)
    assert 0.9 < found.low < found.high == pytest.approx(1)  # of two cases, a correlation is 1
    alike = bootstrap(QUALITY_STATISTICS["Pearson"], np.full(5, 0.5), predicted.repeat(2)[:5], samples=10)
    assert alike.defined == 0 and all(map(math.isnan, (alike.value, alike.low, alike.high)))


def test_without_cases_nothing_is_known() -> None:
    nothing = bootstrap(QUALITY_STATISTICS["MAE"], np.zeros(0), np.zeros(0))
    assert nothing.defined == 0 and all(map(math.isnan, (nothing.value, nothing.low, nothing.high)))


def test_columns_have_one_length() -> None:
    with pytest.raises(ShapeError, match="columns of 3, 2 cases"):
        bootstrap(QUALITY_STATISTICS["MAE"], np.zeros(3), np.zeros(2))
