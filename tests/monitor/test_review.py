from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from mapie.risk_control import BinaryClassificationController, BinaryRisk
from numpy.typing import NDArray

from synthcp.monitor.promise import Promise, images_for_review
from synthcp.monitor.review import THRESHOLDS, ReviewRule, fit_review

Floats = NDArray[np.float64]


def qualities(rng: np.random.Generator, images: int, spread: float = 0.08) -> tuple[Floats, Floats]:
    """True and predicted quality of images, correlated."""
    true = rng.beta(6, 3, images)
    return true, np.clip(true + spread * rng.standard_normal(images), 0, 1)


def slow_review(true: Floats, predicted: Floats, promise: Promise) -> ReviewRule:
    all_bad = sum(t < promise.floor for t in true)
    rule = ReviewRule(None, all_bad=all_bad)
    for step in range(200, -1, -1):
        accepted = [t for t, p in zip(true, predicted, strict=True) if p >= step / 200]
        if len(accepted) < max(images_for_review(promise), len(true) / 5):
            continue
        bad = sum(t < promise.floor for t in accepted)
        p_value = sum(
            math.comb(len(accepted), k) * promise.alpha**k * (1 - promise.alpha) ** (len(accepted) - k)
            for k in range(bad + 1)
        )
        if p_value > promise.delta:
            break
        if len(accepted) > rule.accepted:
            rule = ReviewRule(step / 200, len(accepted), bad, all_bad)
    return rule


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("seed", range(8))
def test_the_review_threshold_is_that_of_a_slow_loop(alpha: float, seed: int) -> None:
    true, predicted = qualities(np.random.default_rng(seed), 150)
    predicted[:40] = predicted[:40].round(1)  # ties, some of them on the grid
    promise = Promise(alpha, 0.1, floor=0.65)
    assert fit_review(true, predicted, promise) == slow_review(true, predicted, promise)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("seed", range(8))
def test_the_review_threshold_is_that_of_mapie(alpha: float, seed: int) -> None:
    true, predicted = qualities(np.random.default_rng(seed), 150)
    promise = Promise(alpha, 0.1, floor=0.65)
    rule = fit_review(true, predicted, promise)
    start = max(step for step in THRESHOLDS if (predicted >= step).sum() >= max(images_for_review(promise), 30))
    among_accepted = BinaryRisk(lambda y, accepted: y == 0, lambda y, accepted: accepted == 1, higher_is_better=False)
    oracle = BinaryClassificationController(
        lambda x: np.stack([1 - x, x], axis=1),
        among_accepted,
        alpha,
        confidence_level=0.9,
        best_predict_param_choice=among_accepted,
        list_predict_params=THRESHOLDS[THRESHOLDS <= start][::-1],
        fwer_method="fixed_sequence",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no threshold passes, and that the risk does not fall step by step
        oracle.calibrate(predicted, (true >= promise.floor).astype(int))
    valid = oracle.valid_predict_params.tolist()
    assert rule.accepted == ((predicted >= min(valid)).sum() if valid else 0)
    assert rule.threshold in (valid or [None])


def test_the_tests_above_see_rules_of_all_kinds() -> None:
    rules = [fit_review(*qualities(np.random.default_rng(seed), 150), Promise(0.05, 0.1, 0.65)) for seed in range(8)]
    assert None in {rule.threshold for rule in rules} and len({rule.threshold for rule in rules}) > 3


def test_a_threshold_accepts_what_lies_on_it() -> None:
    rule = ReviewRule(0.6)
    assert rule.accepts(0.6) and rule.accepts(0.9)
    assert not rule.accepts(0.599999) and not rule.accepts(math.nan)


def test_when_no_threshold_passes_nothing_is_accepted() -> None:
    true, predicted = np.full(100, 0.2), np.linspace(0, 1, 100)
    assert fit_review(true, predicted, Promise()) == ReviewRule(None, all_bad=100)
    assert not ReviewRule(None).accepts(1.0)


def test_perfect_predictions_are_all_accepted() -> None:
    assert fit_review(np.full(29, 0.9), np.linspace(0.3, 0.9, 29), Promise()) == ReviewRule(0.3, 29, 0)


def test_bad_means_below_the_floor_not_on_it() -> None:
    assert fit_review(np.full(40, 0.5), np.full(40, 0.7), Promise(floor=0.5)) == ReviewRule(0.7, 40, 0)
    assert fit_review(np.full(40, 0.5), np.full(40, 0.7), Promise(floor=0.51)) == ReviewRule(None, all_bad=40)


@pytest.mark.parametrize("worth", [1.0, 0.0])
def test_the_promise_is_broken_no_more_often_than_said(worth: float) -> None:
    """2000 draws of calibration images; the true risk of each threshold is known from 200,000 images."""
    rng, promise = np.random.default_rng(3), Promise(0.1, 0.1, floor=0.6)
    true, predicted = qualities(rng, 200_000)
    predicted = predicted if worth else rng.random(200_000)  # a quality that knows nothing must not be trusted
    order = np.argsort(-predicted)
    risk = np.cumsum(true[order] < promise.floor) / np.arange(1, 200_001)
    broken = []
    for _ in range(2000):
        drawn = rng.integers(0, 200_000, 120)
        rule = fit_review(true[drawn], predicted[drawn], promise)
        accepted = 0 if rule.threshold is None else int((predicted >= rule.threshold).sum())
        broken.append(accepted > 0 and risk[accepted - 1] > promise.alpha)
    assert np.mean(broken) <= promise.delta
