from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from synthcp.errors import InputError, ShapeError
from synthcp.metrics.risk import reliability, risk_coverage

Floats = NDArray[np.float64]


def slow_curve(quality: Floats, losses: Floats) -> list[float]:
    """Mean over every order that never puts a smaller quality first."""
    orders = [
        order
        for order in permutations(range(len(quality)))
        if all(quality[a] >= quality[b] for a, b in zip(order, order[1:], strict=False))
    ]
    curves = [[float(np.mean(losses[list(order[:k])])) for k in range(1, len(order) + 1)] for order in orders]
    return [float(value) for value in np.mean(curves, axis=0)]


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_the_mean_over_the_orders_of_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    quality, losses = rng.integers(0, 4, 7) / 3, rng.random(7)
    curve = risk_coverage(quality, losses)
    assert curve.risk == pytest.approx(slow_curve(quality, losses), abs=1e-12)
    assert curve.coverage == pytest.approx([k / 7 for k in range(1, 8)])
    assert curve.aurc == pytest.approx(np.mean(slow_curve(quality, losses)))
    best = np.mean([np.mean(np.sort(losses)[:k]) for k in range(1, 8)])
    assert curve.excess_aurc == pytest.approx(curve.aurc - best)


def test_the_curve_of_a_hundred_images_without_ties() -> None:
    rng = np.random.default_rng(0)
    quality, losses = rng.random(100), (rng.random(100) < 0.3).astype(float)
    order = sorted(range(100), key=lambda index: -quality[index])
    expected = [sum(losses[order[:k]]) / k for k in range(1, 101)]
    assert risk_coverage(quality, losses).risk == pytest.approx(expected)


def test_the_order_of_the_input_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    quality, losses = rng.integers(0, 5, 60) / 4, rng.random(60)
    shuffled = rng.permutation(60)
    first, second = risk_coverage(quality, losses), risk_coverage(quality[shuffled], losses[shuffled])
    assert first.risk == pytest.approx(second.risk, abs=1e-12)


def test_the_best_order_has_no_excess_and_the_worst_the_most() -> None:
    losses = np.array([0.1, 0.5, 0.2, 0.9])
    assert risk_coverage(1 - losses, losses).excess_aurc == 0
    others = [risk_coverage(np.array(order), losses).excess_aurc for order in permutations(range(4))]
    assert risk_coverage(losses, losses).excess_aurc == max(others) > 0


def test_a_quality_that_knows_nothing_has_a_flat_curve() -> None:
    losses = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    assert risk_coverage(np.full(5, 0.7), losses).risk == pytest.approx([0.4] * 5)


def test_without_images_the_area_is_undefined() -> None:
    curve = risk_coverage(np.zeros(0), np.zeros(0))
    assert math.isnan(curve.aurc) and math.isnan(curve.excess_aurc) and len(curve.risk) == 0


@pytest.mark.parametrize("bins", [1, 4, 10])
def test_reliability_is_the_mean_by_bin(bins: int) -> None:
    rng = np.random.default_rng(2)
    predicted = np.append(rng.random(40), [0.0, 0.5, 0.7, 1.0])  # with the edges
    true = rng.random(44)
    found = reliability(predicted, true, bins)
    assert len(found) == bins and sum(part.predictions for part in found) == 44
    for part in found:
        inside = [p >= part.low and (p < part.high or part.high == 1.0) for p in predicted]
        assert part.predictions == sum(inside)
        assert part.predicted == pytest.approx(np.mean(predicted[inside]))
        assert part.true == pytest.approx(np.mean(true[inside]))
    assert (found[0].low, found[-1].high) == (0.0, 1.0)


def test_a_bin_without_images_is_undefined() -> None:
    first, second = reliability(np.array([0.9, 0.6]), np.array([0.2, 0.4]), bins=2)
    assert first.predictions == 0 and math.isnan(first.predicted) and math.isnan(first.true)
    assert (second.predictions, second.predicted, second.true) == (2, pytest.approx(0.75), pytest.approx(0.3))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_must_be_finite(value: float) -> None:
    for function in (risk_coverage, reliability):
        with pytest.raises(InputError, match="not finite"):
            function(np.array([0.1, value]), np.array([0.5, 0.5]))
        with pytest.raises(InputError, match="not finite"):
            function(np.array([0.5, 0.5]), np.array([0.1, value]))


def test_a_quality_lies_in_0_to_1() -> None:
    with pytest.raises(InputError, match=r"not in \[0, 1\]"):
        reliability(np.array([1.1]), np.array([0.5]))
    with pytest.raises(InputError, match=r"not in \[0, 1\]"):
        reliability(np.array([0.5]), np.array([-0.1]))


def test_shapes_must_agree() -> None:
    for function in (risk_coverage, reliability):
        with pytest.raises(ShapeError, match="must be equal"):
            function(np.zeros(3), np.zeros(2))
        with pytest.raises(ShapeError, match="must be equal"):
            function(np.zeros((3, 1)), np.zeros((3, 1)))
