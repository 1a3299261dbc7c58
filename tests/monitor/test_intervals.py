from __future__ import annotations

import math

import numpy as np
import pytest
from mapie.regression import SplitConformalRegressor
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin

from synthcp.monitor.intervals import Intervals, fit_intervals, interval_radius

Floats = NDArray[np.float64]
NAMES = ("road", "car", "rider")


class Echo(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted regressor whose prediction is its input."""

    def fit(self, x: Floats, y: Floats) -> Echo:
        self.fitted_ = True
        return self

    def predict(self, x: Floats) -> Floats:
        return x[:, 0]


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("images", [21, 87, 200])
def test_intervals_are_those_of_mapie(alpha: float, images: int) -> None:
    true, predicted = np.random.default_rng(images).random((2, images))
    oracle = SplitConformalRegressor(Echo().fit(predicted, true), confidence_level=1 - alpha, prefit=True)
    oracle.conformalize(predicted[:, None], true)
    points, bounds = oracle.predict_interval(np.array([[0.4], [0.9]]))
    radius = interval_radius(np.abs(true - predicted)[:, None], alpha)
    assert bounds[:, :, 0] == pytest.approx(np.stack([points - radius, points + radius], axis=1), abs=1e-12)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.25])
def test_the_radius_is_the_ranked_residual(alpha: float) -> None:
    for images in range(1, 60):
        residuals = np.random.default_rng(images).random(images)
        rank = math.ceil(round((images + 1) * (1 - alpha), 9))
        expected = sorted(residuals)[rank - 1] if rank <= images else 1.0
        assert interval_radius(residuals[:, None], alpha) == expected


def test_with_several_classes_every_image_weighs_the_same() -> None:
    rng = np.random.default_rng(0)
    residuals = rng.random((30, 4))
    residuals[rng.random((30, 4)) < 0.6] = np.nan
    rows = [[value for value in row if not math.isnan(value)] for row in residuals]
    rows = [row for row in rows if row]
    for radius in sorted(value for row in rows for value in row):  # the first that enough of the weight lies within
        within = sum(sum(value <= radius for value in row) / len(row) for row in rows)
        if within / (len(rows) + 1) >= 0.8:
            break
    assert len(rows) < 30 and interval_radius(residuals, 0.2) == radius


def test_each_class_has_the_radius_of_the_images_that_show_it() -> None:
    rng = np.random.default_rng(1)
    true, predicted = rng.random((40, 3)), rng.random((40, 3))
    predicted[:, 0] = 0.5
    true[20:, 1] = np.nan
    true[8:, 2] = np.nan
    found = fit_intervals(true, predicted, NAMES, 0.1)
    residuals = np.abs(true - predicted)
    assert found.radii["road"] == interval_radius(residuals[:, :1], 0.1)
    assert found.radii["car"] == interval_radius(residuals[:20, 1:2], 0.1)
    assert found.rare == ("rider",) and found.radii["rider"] == interval_radius(residuals, 0.1)
    assert len(set(found.radii.values())) == 3


def test_nine_images_are_just_enough_for_a_class_at_ten_percent() -> None:
    true = np.full((30, 3), 0.5)
    true[9:, 1], true[8:, 2] = np.nan, np.nan
    assert fit_intervals(true, np.full((30, 3), 0.4), NAMES, 0.1).rare == ("rider",)


def test_intervals_stay_within_0_and_1() -> None:
    intervals = Intervals({"road": 0.2, "car": 1.0})
    assert intervals.around("road", 0.9) == (pytest.approx(0.7), 1.0)
    assert intervals.around("road", 0.1) == (0.0, pytest.approx(0.3))
    assert intervals.around("car", 0.6) == (0.0, 1.0)


def test_too_few_images_say_nothing() -> None:
    assert interval_radius(np.full((8, 1), 0.1), 0.1) == 1.0
    assert interval_radius(np.full((9, 1), 0.1), 0.1) == pytest.approx(0.1)
    assert interval_radius(np.full((9, 2), np.nan), 0.1) == 1.0


def test_coverage_is_kept_class_by_class_and_for_a_random_class() -> None:
    """Mean over 300 draws of calibration images, each checked on 200 new ones; the classes of an image depend."""
    rng = np.random.default_rng(2)
    own, common = [], []
    for _ in range(300):
        noise = rng.standard_normal((260, 1)) * rng.random((260, 1))
        true = np.full((260, 3), 0.5)
        predicted = 0.5 + 0.2 * noise * [1.0, 0.5, 2.0] + 0.02 * rng.standard_normal((260, 3))
        true[:, 1][rng.random(260) < 0.5] = np.nan
        true[np.arange(260) % 12 != 0, 2] = np.nan  # 5 of the 60: rare
        intervals = fit_intervals(true[:60], predicted[:60], NAMES, 0.1)
        hit = np.abs(true - predicted) <= [intervals.radii[name] for name in NAMES]
        shown = ~np.isnan(true)
        own.append([hit[60:, index][shown[60:, index]].mean() for index in (0, 1)])
        within = np.where(shown, np.abs(true - predicted) <= intervals.radii["rider"], np.nan)
        common.append(np.nanmean(np.nanmean(within[60:], axis=1)))
    assert np.mean(own, axis=0) == pytest.approx([0.9, 0.9], abs=0.02)
    assert min(*np.mean(own, axis=0), np.mean(common)) >= 0.895
