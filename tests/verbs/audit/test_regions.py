"""Disputed regions against scipy and counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from synthcp.verbs.audit.regions import disputed_regions

IGNORED = 9


def full(region, shape):
    mask = np.zeros(shape, bool)
    mask[region.window] = region.mask
    return mask


@pytest.fixture
def maps():
    """A given and a predicted label map (40, 50) of three classes that differ in blobs and along borders."""
    chance = np.random.default_rng(2)
    noise = ndimage.gaussian_filter(chance.normal(size=(2, 3, 40, 50)), (0, 0, 2.5, 2.5))
    given, predicted = noise.argmax(axis=1)
    given[:6, :9] = IGNORED
    return given, predicted


@pytest.mark.parametrize("width", [0, 1, 2, 7])
def test_a_line_is_a_region_where_a_square_of_three_fits(width):
    given = np.zeros((20, 30), np.int64)
    predicted = given.copy()
    predicted[4 : 4 + width, 20:29] = 2
    regions = disputed_regions(given, predicted, IGNORED)
    assert len(regions) == (width >= 3)
    for region in regions:
        assert region.window == (slice(4, 11), slice(20, 29)) and region.mask.all()
        assert (region.given, region.radius) == (0, 4.0)  # the middle of seven rows is four from the first outside


def test_ignored_pixels_are_never_in_a_region():
    given = np.full((12, 12), IGNORED)
    given[:, 6:] = 0
    (region,) = disputed_regions(given, np.ones((12, 12), np.int64), IGNORED)
    assert region.window == (slice(0, 12), slice(6, 12)) and region.radius == 3.0


def test_every_region_has_one_given_class_and_is_connected(maps):
    given, predicted = maps
    regions = disputed_regions(given, predicted, IGNORED)
    assert len(regions) > 5
    for region in regions:
        mask = full(region, given.shape)
        assert set(given[mask]) == {region.given}
        assert (predicted[mask] != region.given).all()
        assert ndimage.label(mask)[1] == 1


def test_the_regions_are_all_pixels_that_a_square_of_three_fits_onto(maps):
    given, predicted = maps
    expected = np.zeros(given.shape, bool)
    for row in range(given.shape[0] - 2):
        for column in range(given.shape[1] - 2):
            square = slice(row, row + 3), slice(column, column + 3)
            label = given[row, column]
            if label != IGNORED and (given[square] == label).all() and (predicted[square] != label).all():
                expected[square] = True
    found = sum(full(region, given.shape).astype(int) for region in disputed_regions(given, predicted, IGNORED))
    assert (found == expected).all()


def test_the_radius_is_the_largest_distance_to_the_outside(maps):
    given, predicted = maps
    for region in disputed_regions(given, predicted, IGNORED)[:4]:
        mask = np.pad(full(region, given.shape), 1)
        inside, outside = np.argwhere(mask), np.argwhere(~mask)
        distances = np.linalg.norm(inside[:, None] - outside[None], axis=2).min(axis=1)
        assert region.radius == pytest.approx(distances.max())
