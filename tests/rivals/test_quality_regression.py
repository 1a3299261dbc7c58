from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from synthcp.errors import ShapeError
from synthcp.records import Prediction
from synthcp.rivals.quality_regression import (
    ClassScores,
    Isotonic,
    Line,
    QualityRegression,
    RegressedQuality,
    fit_isotonic,
    fit_line,
    fit_linear,
)

Fit = Callable[[Tensor, Tensor], QualityRegression]
FITS: tuple[Fit, ...] = (fit_line, fit_isotonic, fit_linear)


def drawn(seed: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Scores of different scales, and qualities that fall with the first, rise with the second, ignore the third."""
    rng = np.random.default_rng(seed)
    scores = rng.random((60, classes)) * [900, 3, 1]
    quality = np.stack([1 - scores[:, 0] / 1000, (scores[:, 1] / 3) ** 2, rng.random(60)], axis=1)
    return torch.from_numpy(scores), torch.from_numpy(np.clip(quality + 0.1 * rng.standard_normal((60, classes)), 0, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_planted_line_is_found(dtype: torch.dtype) -> None:
    scores = torch.rand(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    quality = torch.stack([0.9 - 0.5 * scores[:, 0], 0.1 + 0.7 * scores[:, 1]], dim=1)
    line = fit_line(scores, quality)
    assert line.slopes == pytest.approx((-0.5, 0.7)) and line.intercepts == pytest.approx((0.9, 0.1))
    assert line(scores.to(dtype)).dtype == dtype
    torch.testing.assert_close(line(scores.to(dtype)), quality.to(dtype))


@pytest.mark.parametrize("seed", range(3))
def test_the_line_is_that_of_least_squares(seed: int) -> None:
    scores, quality = drawn(seed)
    scores[::7, 0], quality[::5, 1] = math.nan, math.nan
    line = fit_line(scores, quality)
    for label in range(3):
        known = ~(scores[:, label].isnan() | quality[:, label].isnan())
        expected = np.polyfit(scores[known, label], quality[known, label], 1)
        assert (line.slopes[label], line.intercepts[label]) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_is_that_of_scikit_learn(seed: int) -> None:
    scores, quality = drawn(seed)
    scores = (scores * torch.tensor([0.02, 5, 20])).round()  # with ties
    curves = fit_isotonic(scores, quality)
    new = torch.linspace(-1, 25, 99, dtype=torch.float64)[:, None].expand(-1, 3)
    for label, rises in enumerate(curve[-1] > curve[0] for curve in curves.qualities):
        oracle = IsotonicRegression(increasing=rises, out_of_bounds="clip")
        expected = oracle.fit(scores[:, label].numpy(), quality[:, label].numpy()).predict(new[:, label].numpy())
        assert curves(new)[:, label].numpy() == pytest.approx(expected)


PLANTED = torch.tensor([[-0.4, 0.1], [0.2, 0.0]], dtype=torch.float64)
"""Of a quality that mixes the scores: the second class's own score tells it nothing."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_planted_map_of_all_scores_is_found(dtype: torch.dtype) -> None:
    scores = torch.rand(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    quality = 0.5 + scores @ PLANTED.T
    quality[::4, 0] = math.nan
    linear = fit_linear(scores, quality, ridge=0)
    assert linear.weights == (pytest.approx((-0.4, 0.1)), pytest.approx((0.2, 0.0)))
    assert linear.intercepts == pytest.approx((0.5, 0.5))
    predicted = linear(scores.to(dtype))
    assert predicted.dtype == dtype
    torch.testing.assert_close(predicted, (0.5 + scores @ PLANTED.T).to(dtype))


@pytest.mark.parametrize("ridge", [1e-3, 0.5])
def test_the_map_is_that_of_scikit_learn(ridge: float) -> None:
    scores, quality = drawn(3)
    quality[::7, 0], quality[::5, 1] = math.nan, math.nan
    linear = fit_linear(scores, quality, ridge)
    for label in range(3):
        known = ~quality[:, label].isnan()
        oracle = make_pipeline(StandardScaler(), Ridge(ridge * int(known.sum())))
        expected = oracle.fit(scores[known].numpy(), quality[known, label].numpy()).predict(scores.numpy()).clip(0, 1)
        assert linear(scores)[:, label].numpy() == pytest.approx(expected)


def test_the_map_stays_finite_and_in_range() -> None:
    """Fewer predictions than classes, a score that never varies, two that are one."""
    scores = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    scores[:, 1], scores[:, 2] = 0.3, scores[:, 3]
    linear = fit_linear(scores, torch.rand(3, 4, generator=torch.Generator().manual_seed(1)))
    assert [row[1] for row in linear.weights] == [0] * 4
    predicted = linear(100 * torch.randn(50, 4, generator=torch.Generator().manual_seed(2)))
    assert predicted.isfinite().all() and predicted.min() == 0 and predicted.max() == 1


def test_autocast_leaves_the_map_alone() -> None:
    scores, quality = drawn(1)
    linear = fit_linear(scores, quality)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = linear(scores.float())
    assert predicted.equal(linear(scores.float()))


def test_a_map_takes_no_missing_score(fails) -> None:
    with fails("a score is NaN"):
        fit_linear(torch.tensor([[0.1, math.nan]]), torch.ones(1, 2))


def test_the_direction_is_the_one_that_fits_better() -> None:
    scores = torch.arange(6.0)[:, None].expand(-1, 2)
    quality = torch.tensor([[0.1, 0.8], [0.2, 0.9], [0.1, 0.5], [0.6, 0.6], [0.5, 0.2], [0.9, 0.1]])
    rising, falling = fit_isotonic(scores, quality).qualities
    assert rising[-1] > rising[0] and falling[-1] < falling[0]


@pytest.mark.parametrize("fit", [fit_line, fit_isotonic])
def test_predictions_stay_in_range_and_an_empty_class_is_0(fit) -> None:
    regression = fit(*drawn(0))
    predicted = regression(torch.tensor([[-1e6, 1e6, 0.5], [1e6, -1e6, math.nan]]))
    assert predicted[0, 0] > 0.9 and predicted[1, 0] < 0.2 and predicted[1, 2] == 0
    assert predicted.min() >= 0 and predicted.max() <= 1


@pytest.mark.parametrize("fit", [fit_line, fit_isotonic])
def test_scores_that_tell_nothing_predict_the_mean(fit) -> None:
    scores = torch.tensor([[2.0, math.nan, 1.0], [2.0, math.nan, math.nan], [2.0, math.nan, math.nan]])
    quality = torch.tensor([[0.3, 0.0, 0.8], [0.6, 0.0, 0.1], [0.9, 0.9, 0.2]])
    regression = fit(scores, quality)
    for score in (-7.0, 7.0):
        assert regression(torch.full((1, 3), score))[0].tolist() == pytest.approx([0.6, 0.3, 0.8])


@pytest.mark.parametrize("fit", FITS)
def test_a_class_that_is_judged_nowhere_gets_the_mean_over_the_others(fit: Fit) -> None:
    scores, quality = drawn(0)
    quality[:, 1], quality[::3, 0] = math.nan, math.nan
    regression = fit(scores, quality)
    predicted = regression(scores[:5] + 3)
    assert predicted[:, 1].tolist() == pytest.approx([float(quality.nanmean())] * 5)


@pytest.mark.parametrize("fit", FITS)
def test_what_cannot_be_fitted_is_refused(fit: Fit, fails) -> None:
    with fails("4 predictions have no true quality"):
        fit(torch.rand(4, 2), torch.full((4, 2), math.nan))
    with fails("infinite"):
        fit(torch.tensor([[math.inf]]), torch.zeros(1, 1))
    with fails("(3, 2)", "(2, 3)", error=ShapeError):
        fit(torch.rand(3, 2), torch.rand(2, 3))


def test_the_detector_regresses_its_score() -> None:
    def score(image: Tensor, prediction: Prediction) -> ClassScores:
        return ClassScores(torch.tensor([[0.1, 0.4], [0.2, math.nan]]), image[:, 0])

    image = torch.rand(2, 1, 3, 4)
    prediction = Prediction(torch.zeros(2, 2, 3, 4))
    judged = RegressedQuality(score, Line((1.0, -2.0), (0.0, 1.0)))(image, prediction)
    assert judged.class_quality is not None and judged.error_map is not None
    torch.testing.assert_close(judged.class_quality, torch.tensor([[0.1, 0.2], [0.2, 0.0]]))
    assert judged.error_map.equal(image[:, 0])
    curves = Isotonic(((0.0, 1.0), (0.0,)), ((1.0, 0.5), (0.25,)))
    judged = RegressedQuality(score, curves)(image, prediction)
    assert judged.class_quality is not None
    torch.testing.assert_close(judged.class_quality, torch.tensor([[0.95, 0.25], [0.9, 0.0]]))
