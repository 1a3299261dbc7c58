from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from synthcp.monitor.drift import COLUMNS, SLOPES, Drift, log_capital, p_values, watch

RANDOM = np.random.default_rng(0)


def scores(count: int, shift: float = 0.0) -> list[float]:
    return list(shift + RANDOM.standard_normal(count))


def test_a_p_value_is_the_share_of_all_so_far_that_is_as_large() -> None:
    usual, stream = [1.0, 2.0, 3.0, 4.0], [2.5, 9.0, 0.0]
    found, chances = p_values(usual, stream, seed=3), np.random.default_rng(3).random(3)
    assert found == pytest.approx([(2 + chances[0]) / 5, (0 + chances[1]) / 6, (6 + chances[2]) / 7])
    tied = p_values([1.0] * 9, [1.0], seed=3)
    assert tied == pytest.approx([chances[0]])  # of equal ones the order is chance


def test_p_values_are_uniform_and_independent_while_nothing_changes() -> None:
    found = np.concatenate([p_values(scores(20), scores(40), seed) for seed in range(250)])
    counts = np.histogram(found, bins=10, range=(0, 1))[0] / len(found)
    assert np.abs(counts - 0.1).max() < 0.012
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.03


def test_the_capital_is_the_product_of_the_bets_dealt_out_anew_before_each() -> None:
    p, shares, capital = np.array([0.1, 0.9, 0.2]), np.full(5, 0.2), []
    for value in p:
        total = shares.sum()
        shares = (0.99 * shares + 0.01 * total / 5) * (1 + SLOPES * (value - 0.5))
        capital.append(shares.sum())
    assert np.exp(log_capital(p)) == pytest.approx(capital)
    assert math.exp(log_capital(np.full(4000, 1e-6))[-1] / 4000) == pytest.approx(2, rel=0.02)  # no overflow


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_false_alarms_are_as_rare_as_was_asked_for(rate: float) -> None:
    streams, alarms = 250, 0
    for _ in range(streams):
        usual, seen = ({name: scores(count) for name in COLUMNS} for count in (30, 120))
        alarms += any(drift.since is not None for drift in watch(usual, seen, rate))
    assert alarms / streams <= rate + 3 * math.sqrt(rate * (1 - rate) / streams)


@pytest.mark.parametrize("shift", [2.0, -2.0])
def test_a_drift_is_told_soon_and_which_score_drifted(shift: float) -> None:
    usual = {"error_share": scores(200), "mean_quality": scores(200)}
    seen = {"error_share": scores(50) + scores(60, shift), "mean_quality": scores(110)}
    drifted, other = watch(usual, seen)
    assert drifted.column == "error_share" and drifted.since is not None and 50 < drifted.since < 80
    assert drifted.evidence >= drifted.needed == 200 and other.since is None
    assert drifted.in_words().endswith(f"over 110 images; drift, told at image {drifted.since}")


def test_what_is_undefined_or_not_watched_is_left_out(fails: Any) -> None:
    seen = {"error_share": [0.1, math.nan, 0.2], "anomaly_share": [math.nan], "mean_quality": [0.3]}
    found = watch({"error_share": [0.1, 0.2], "anomaly_share": [0.1], "mean_quality": []}, seen)
    assert [(drift.column, drift.images, drift.needed) for drift in found] == [("error_share", 2, 200.0)]
    assert isinstance(found[0], Drift) and "drift" not in found[0].in_words()
    with fails("rate 1 of false alarms must lie between 0 and 1"):
        watch({}, {}, 1.0)
