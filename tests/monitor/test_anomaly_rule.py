from __future__ import annotations

import math

import numpy as np
import pytest
from mapie.risk_control import SemanticSegmentationController
from numpy.typing import NDArray

from synthcp.errors import InputError
from synthcp.monitor.anomaly_rule import fit_anomaly, score_curve


def scores_of(rng: np.random.Generator, images: int) -> list[NDArray[np.float32]]:
    return [
        (2 * rng.beta(2, 12, int(rng.integers(50, 400))) * rng.uniform(0.5, 1.5)).astype(np.float32)
        for _ in range(images)
    ]


@pytest.mark.parametrize("area", [0.02, 0.05, 0.2])
def test_the_anomaly_threshold_is_the_smallest_that_keeps_the_promise(area: float) -> None:
    scores = scores_of(np.random.default_rng(0), 60)
    threshold = fit_anomaly([score_curve(values) for values in scores], area).threshold

    def bound(level: float) -> float:
        return (sum(float((values >= level).mean()) for values in scores) + 1) / 61

    assert bound(threshold) <= area < bound(threshold * (1 - 2.0**-9))  # a step of the grid


@pytest.mark.parametrize("area", [0.05, 0.1, 0.3])
def test_the_anomaly_threshold_is_that_of_mapie(area: float) -> None:
    """Its recall control with known pixels as positives; scores and grid are multiples of 1 / 64, exact in both."""
    rng = np.random.default_rng(4)
    scores = (rng.binomial(64, rng.beta(2, 6, 40)[:, None], (40, 150)) / 64).astype(np.float32)
    grid = np.arange(1, 65) / 64
    oracle = SemanticSegmentationController(
        lambda x: x, risk="recall", method="crc", target_level=1 - area, predict_params=(1 - grid)[::-1]
    )
    oracle.calibrate(1.0 - scores[:, None, None, :].astype(float), np.ones((40, 1, 1, 150), int))
    ours = fit_anomaly([score_curve(values) for values in scores], area).threshold
    # Theirs is the first of its steps that keeps the promise; ours lies above the last step that breaks it.
    assert 1 - oracle.best_predict_param[0] == np.ceil(ours * 64) / 64


@pytest.mark.parametrize("shift", [-300.0, -1.0, 0.0, 200.0])
def test_scores_of_any_range_have_a_threshold(shift: float) -> None:
    scores = [(values + shift).astype(np.float32) for values in scores_of(np.random.default_rng(1), 40)]
    threshold = fit_anomaly([score_curve(values) for values in scores], 0.1).threshold
    step = 2.0**-9 * max(abs(threshold), 1e-3)
    assert (sum((values >= threshold).mean() for values in scores) + 1) / 41 <= 0.1
    assert (sum((values >= threshold - 2 * step).mean() for values in scores) + 1) / 41 > 0.1


def test_the_false_alarm_area_is_kept_on_average() -> None:
    rng = np.random.default_rng(5)
    areas = []
    for _ in range(200):
        scores = scores_of(rng, 90)
        threshold = fit_anomaly([score_curve(values) for values in scores[:50]], 0.05).threshold
        areas.append(np.mean([(values > threshold).mean() for values in scores[50:]]))
    assert 0.02 < np.mean(areas) <= 0.05


def test_a_curve_tells_the_share_that_a_threshold_flags() -> None:
    scores = scores_of(np.random.default_rng(6), 50)
    curves = [score_curve(values) for values in scores]
    threshold = fit_anomaly(curves, 0.1).threshold
    assert [curve.flagged(threshold) for curve in curves] == pytest.approx([(v >= threshold).mean() for v in scores])


def test_nine_of_ten_images_have_the_usual_share_at_most() -> None:
    scores = scores_of(np.random.default_rng(9), 100)
    rule = fit_anomaly([score_curve(values) for values in scores], 0.05)
    shares = sorted((values >= rule.threshold).mean() for values in scores)
    assert rule.usual_share == pytest.approx(shares[90])


def test_a_curve_is_small_whatever_the_size_of_the_image() -> None:
    assert len(score_curve(np.random.default_rng(7).uniform(0.01, 2, 300_000).astype(np.float32)).keys) < 5000


def test_too_few_images_for_an_area_are_refused() -> None:
    curves = [score_curve(values) for values in scores_of(np.random.default_rng(8), 19)]
    assert not any(curve.flagged(fit_anomaly(curves, 0.05).threshold) for curve in curves)
    with pytest.raises(InputError, match="18 images are too few: area 0.05 needs 19"):
        fit_anomaly(curves[1:], 0.05)


@pytest.mark.parametrize("scores", [[], [0.1, math.nan], [0.1, math.inf]])
def test_scores_must_be_there_and_finite(scores: list[float]) -> None:
    with pytest.raises(InputError, match="needs labelled pixels, each with a finite score"):
        score_curve(np.array(scores, np.float32))
