from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from synthcp.errors import InputError, ShapeError
from synthcp.metrics.regression import class_quality_scores, regression_scores

Floats = NDArray[np.float64]


@pytest.fixture
def release() -> tuple[Floats, Floats]:
    """A fixed draw of true and predicted IoU, scored once with the published release's evaluation."""
    rng = np.random.default_rng(0)
    true = rng.random((500, 19))
    predicted = np.clip(true + 0.2 * rng.standard_normal((500, 19)), 0, 1)
    true[rng.random((500, 19)) < 0.3] = np.nan
    return true, predicted


def test_class_quality_scores_of_the_published_release(release: tuple[Floats, Floats]) -> None:
    scores = class_quality_scores(*release)
    assert scores.pearson == pytest.approx(0.8347678176897224, abs=1e-12)
    assert scores.spearman == pytest.approx(0.8341838982016733, abs=1e-12)
    assert scores.mae == pytest.approx(0.13898321880633677, abs=1e-12)
    assert scores.std == pytest.approx(0.10737759294634076, abs=1e-12)
    assert (scores.classes, scores.correlated_classes) == (19, 19)


def test_one_class_of_the_published_release(release: tuple[Floats, Floats]) -> None:
    true, predicted = release
    road = regression_scores(true[:, 0], predicted[:, 0])
    found = [road.pearson, road.spearman, road.mae, road.std]
    assert found == pytest.approx([0.854935, 0.853100, 0.129648, 0.103983], abs=1e-6)
    assert road.std_signed == pytest.approx(np.nanstd(true[:, 0] - predicted[:, 0]))


def test_each_class_counts_alike_however_many_images_show_it() -> None:
    rng = np.random.default_rng(1)
    true, predicted = rng.random((40, 3)).round(1), rng.random((40, 3)).round(1)  # with ties
    true[5:, 1] = np.nan
    scores = class_quality_scores(true, predicted)
    expected = []
    for column in range(3):
        seen = ~np.isnan(true[:, column])
        x, y = true[seen, column], predicted[seen, column]
        errors = [abs(a - b) for a, b in zip(x, y, strict=True)]
        mae = sum(errors) / len(errors)
        std = math.sqrt(sum((error - mae) ** 2 for error in errors) / len(errors))
        expected.append([mae, std, np.std(x - y), pearsonr(x, y).statistic, spearmanr(x, y).statistic])
    assert astuple(scores)[:5] == pytest.approx(tuple(np.mean(expected, axis=0)), abs=1e-12)


def test_predictions_of_absent_classes_are_not_judged() -> None:
    rng = np.random.default_rng(2)
    true, predicted = rng.random((10, 2)), rng.random((10, 2))
    true[3, 1] = np.nan
    before = class_quality_scores(true, predicted)
    predicted[3, 1] = np.nan
    assert class_quality_scores(true, predicted) == before


def test_std_is_of_the_absolute_residual_and_std_signed_of_the_signed() -> None:
    scores = regression_scores(np.array([0.5, 0.5, 0.2]), np.array([0.8, 0.2, 0.5]))
    assert (scores.mae, scores.std) == (pytest.approx(0.3), pytest.approx(0.0, abs=1e-12))
    assert scores.std_signed == pytest.approx(math.sqrt(0.08))


def test_classes_that_cannot_be_correlated_still_enter_the_residuals() -> None:
    nan = math.nan
    # In turn: correlated, seen once, constant truth, constant prediction, never seen.
    true = np.array([[0.1, 0.4, 0.5, 0.2, nan], [0.3, nan, 0.5, 0.9, nan], [0.2, nan, 0.5, 0.4, nan]])
    predicted = np.array([[0.2, 0.3, 0.1, 0.6, 0.1], [0.4, 0.9, 0.2, 0.6, 0.2], [0.3, 0.8, 0.3, 0.6, 0.3]])
    scores = class_quality_scores(true, predicted)
    assert (scores.classes, scores.correlated_classes) == (4, 1)
    assert scores.mae == pytest.approx((0.1 + 0.1 + 0.3 + 0.9 / 3) / 4)
    assert (scores.pearson, scores.spearman) == (pytest.approx(1.0), pytest.approx(1.0))


def test_opposite_order_is_anticorrelated() -> None:
    scores = regression_scores(np.array([0.0, 0.1, 0.9]), np.array([0.9, 0.5, 0.4]))
    assert scores.spearman == pytest.approx(-1.0)
    assert -1 < scores.pearson < -0.5


def test_single_precision_is_averaged_in_double() -> None:
    true = np.full(100_000, 0.1, np.float32)
    expected = float(np.float32(0.7)) - float(np.float32(0.1))
    assert regression_scores(true, np.full_like(true, 0.7)).mae == pytest.approx(expected, abs=1e-12)


def test_a_class_never_present_has_no_scores() -> None:
    scores = class_quality_scores(np.full((4, 2), np.nan), np.zeros((4, 2)))
    assert all(map(math.isnan, astuple(scores)[:5]))
    assert (scores.classes, scores.correlated_classes) == (0, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_predictions_of_present_classes_must_be_finite(value: float) -> None:
    with pytest.raises(InputError, match="not finite"):
        class_quality_scores(np.array([[0.5, 0.1]]), np.array([[0.5, value]]))


def test_shapes_must_agree() -> None:
    with pytest.raises(ShapeError, match="differ"):
        class_quality_scores(np.zeros((3, 2)), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="differ"):
        regression_scores(np.zeros(3), np.zeros(2))
    with pytest.raises(ShapeError, match=r"\(images, classes\)"):
        class_quality_scores(np.zeros(3), np.zeros(3))
    with pytest.raises(ShapeError, match=r"\(images,\)"):
        regression_scores(np.zeros((3, 2)), np.zeros((3, 2)))
