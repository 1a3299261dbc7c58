"""Regions of unknown pixels against a flood fill."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from synthcp.errors import ShapeError
from synthcp.monitor.regions import anomalous_regions, connected_parts, in_words, largest_region
from synthcp.records import Classes

CLASSES = Classes(("road", "sky", "car"), ((0, 0, 0),) * 3)
THRESHOLD = 0.5


def flood_fill(mask: np.ndarray) -> list[set[tuple[int, ...]]]:
    """Every connected part of a mask as a set of places; neighbours share a side, an edge or a corner."""
    steps = list(itertools.product((-1, 0, 1), repeat=mask.ndim))
    left, parts = set(map(tuple, np.argwhere(mask).tolist())), []
    while left:
        part, waiting = set(), [left.pop()]
        while waiting:
            place = waiting.pop()
            part.add(place)
            near = {tuple(a + b for a, b in zip(place, step, strict=True)) for step in steps} & left
            left -= near
            waiting += near
        parts.append(part)
    return parts


def blobs(*size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth random anomaly map, and a label map."""
    chance = np.random.default_rng(len(size))
    noise = ndimage.gaussian_filter(chance.normal(size=size), 1.5)
    return torch.from_numpy(noise / noise.max()).float(), torch.from_numpy(chance.integers(0, 3, size))


@pytest.mark.parametrize("size", [(40, 61), (9, 17, 26)])
def test_the_regions_are_those_of_a_flood_fill(size):
    scores, labels = blobs(*size)
    regions = anomalous_regions(scores, THRESHOLD, labels, CLASSES, smallest=0.0)
    parts = flood_fill((scores > THRESHOLD).numpy())
    assert len(regions) == len(parts) > 3
    expected = []
    for part in parts:
        places = np.array(sorted(part)).T
        values, names = scores.numpy()[tuple(places)].astype(float), labels.numpy()[tuple(places)]
        box = tuple((int(axis.min()), int(axis.max()) + 1) for axis in places)
        most = CLASSES.names[max(range(3), key=lambda label, names=names: (names == label).sum())]
        excess = (values - THRESHOLD).sum()
        expected.append((excess, len(part), len(part) / scores.numel(), values.mean(), values.max(), box, most))
    expected.sort(reverse=True)
    for region, (_, area, share, mean, peak, box, most) in zip(regions, expected, strict=True):
        assert (region.area, region.share, region.box, region.predicted) == (area, share, box, most)
        assert (region.mean_score, region.peak_score) == pytest.approx((mean, peak))


def test_a_box_is_found_where_it_is():
    scores, labels = torch.zeros(20, 30), torch.zeros(20, 30, dtype=torch.int64)
    scores[4:11, 20:29] = 0.75
    scores[4, 20] = 1.25
    labels[5:, 10:] = 2
    (region,) = anomalous_regions(scores, THRESHOLD, labels, CLASSES)
    assert region.box == ((4, 11), (20, 29)) and region.predicted == "car"
    assert (region.area, region.share, region.peak_score) == (63, 63 / 600, 1.25)
    assert region.mean_score == (62 * 0.75 + 1.25) / 63
    assert in_words(region) == "covers 10.5% at rows 4-10, columns 20-28, predicted as car"


def test_in_a_volume_the_axes_are_named():
    scores = torch.zeros(6, 20, 30)
    scores[1:3, 4:11, 20:29] = 1.0
    (region,) = anomalous_regions(scores, THRESHOLD, torch.ones(6, 20, 30, dtype=torch.int64), CLASSES)
    assert in_words(region) == "covers 3.5% at x 1-2, y 4-10, z 20-28, predicted as sky"


def test_a_small_region_may_stand_out_more_than_a_large_one():
    scores = torch.zeros(10, 20)
    scores[1:8, 1:10] = 0.55  # 63 x 0.05
    scores[2:5, 15:18] = 1.5  # 9 x 1
    regions = anomalous_regions(scores, THRESHOLD, scores.long(), CLASSES)
    assert [region.area for region in regions] == [9, 63]
    assert largest_region(regions) is regions[1]


def test_only_scores_above_the_threshold_count():
    scores = torch.full((4, 6), THRESHOLD)
    assert anomalous_regions(scores, THRESHOLD, scores.long(), CLASSES) == ()
    scores[3, 1] = torch.nan
    scores[0, 5] = 0.51
    assert [region.box for region in anomalous_regions(scores, THRESHOLD, scores.long(), CLASSES)] == [((0, 1), (5, 6))]


def test_what_is_smaller_than_the_smallest_is_left_out():
    scores = torch.zeros(10, 20)
    scores[0, :3] = scores[5, :4] = 1.0
    assert [r.area for r in anomalous_regions(scores, THRESHOLD, scores.long(), CLASSES, smallest=4 / 200)] == [4]
    assert [r.area for r in anomalous_regions(scores, THRESHOLD, scores.long(), CLASSES, smallest=4.1 / 200)] == []


def test_corners_connect_where_they_are_asked_to():
    mask = np.eye(3, dtype=bool)
    assert len(connected_parts(mask, diagonal=True)) == 1
    assert len(connected_parts(mask, diagonal=False)) == 3


def test_without_an_anomaly_map_there_are_no_regions():
    assert anomalous_regions(None, THRESHOLD, torch.zeros(3, 4), CLASSES) == ()
    assert largest_region(()) is None


def test_maps_of_different_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"shapes \(3, 4\) and \(4, 3\)"):
        anomalous_regions(torch.zeros(3, 4), THRESHOLD, torch.zeros(4, 3), CLASSES)
