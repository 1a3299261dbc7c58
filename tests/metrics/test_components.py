from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from synthcp.metrics.components import (
    ANOMALY_TRACK,
    LEVELS,
    OBSTACLE_TRACK,
    ComponentScores,
    StreamingComponents,
    Track,
    component_matches,
)

Mask = NDArray[np.bool_]
Pixels = set[tuple[int, ...]]
SMALL = Track(min_predicted=6, min_true=4)


def pixels(mask: Mask) -> Pixels:
    return {tuple(map(int, index)) for index in np.argwhere(mask)}


def components(mask: Mask) -> list[Pixels]:
    """Flood fill through all neighbours, corners too."""
    left, found = pixels(mask), []
    steps = list(itertools.product((-1, 0, 1), repeat=mask.ndim))
    while left:
        component, border = set(), [left.pop()]
        while border:
            here = border.pop()
            component.add(here)
            near = {tuple(a + b for a, b in zip(here, step, strict=True)) for step in steps} & left
            left -= near
            border.extend(near)
        found.append(component)
    return found


def slow_matches(predicted: Mask, anomaly: Mask, judged: Mask, track: Track) -> tuple[list[float], list[float]]:
    true = components(anomaly & judged)
    void = set().union(*(component for component in true if len(component) < track.min_true))
    true = [component for component in true if len(component) >= track.min_true]
    found = [component for component in components(predicted & judged) if len(component) >= track.min_predicted]
    found = [component - void for component in found if component - void]
    siou = []
    for component in true:
        touching = set().union(*(other for other in found if other & component))
        others = set().union(*(other for other in true if other is not component))
        siou.append(len(component & touching) / len((component | touching) - (others & touching)))
    anything = set().union(*true)
    return siou, [len(component & anything) / len(component) for component in found]


def slow_f1(siou: list[float], ppv: list[float], level: float) -> float:
    found = sum(value >= level for value in siou)
    missed = sum(value < level for value in siou)
    false = sum(value < level for value in ppv)
    return 2 * found / (2 * found + missed + false)


def blobs(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> Mask:
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), 1.2)
    return smooth > np.quantile(smooth, 1 - share)


def image(shape: tuple[int, ...], seed: int) -> tuple[Mask, Mask, Mask]:
    """A prediction that resembles the anomalies, the anomalies, and what is judged."""
    rng = np.random.default_rng(seed)
    anomaly = blobs(shape, 0.15, rng)
    predicted = (anomaly & blobs(shape, 0.7, rng)) | blobs(shape, 0.08, rng)
    return predicted, anomaly, ~blobs(shape, 0.1, rng)


@pytest.mark.parametrize("shape", [(30, 41), (9, 12, 14)])
@pytest.mark.parametrize("seed", range(6))
def test_matches_agree_with_sets_of_pixels(shape: tuple[int, ...], seed: int) -> None:
    predicted, anomaly, judged = image(shape, seed)
    siou, ppv = component_matches(predicted, anomaly, judged, SMALL)
    slow_siou, slow_ppv = slow_matches(predicted, anomaly, judged, SMALL)
    assert len(slow_siou) > 2 and len(slow_ppv) > 2
    assert sorted(siou) == pytest.approx(sorted(slow_siou))
    assert sorted(ppv) == pytest.approx(sorted(slow_ppv))


def test_scores_of_several_images_agree_with_sets_of_pixels() -> None:
    images = [image((30, 41), seed) for seed in range(4)]
    streams = [StreamingComponents(0.5, SMALL), StreamingComponents(0.5, SMALL)]
    siou: list[float] = []
    ppv: list[float] = []
    for index, (predicted, anomaly, judged) in enumerate(images):
        scores = np.where(judged, predicted * 0.5 + 0.1 * ~predicted, np.nan)
        streams[index % 2].update(scores, anomaly, judged)
        slow = slow_matches(predicted, anomaly, judged, SMALL)
        siou += slow[0]
        ppv += slow[1]
    streams[0].merge(streams[1])
    scores = streams[0].compute()
    assert (scores.siou, scores.ppv) == (pytest.approx(np.mean(siou)), pytest.approx(np.mean(ppv)))
    assert scores.f1_at == pytest.approx([slow_f1(siou, ppv, level) for level in LEVELS])
    assert scores.f1 == pytest.approx(np.mean(scores.f1_at))
    assert (scores.true_components, scores.predicted_components) == (len(siou), len(ppv))
    assert scores.true_positives[5] == sum(value >= 0.5 for value in siou)
    assert scores.false_negatives[0] == sum(value < 0.25 for value in siou)
    assert scores.false_positives[10] == sum(value < 0.75 for value in ppv)


def test_what_covers_another_object_does_not_count_against_this_one() -> None:
    # Two objects of 2 x 4 pixels, 2 columns apart, and one prediction over both and the gap.
    anomaly = np.zeros((2, 10), bool)
    anomaly[:, :4] = anomaly[:, 6:] = True
    everything = np.ones_like(anomaly)
    siou, ppv = component_matches(everything, anomaly, everything, SMALL)
    assert siou.tolist() == [8 / 12, 8 / 12]  # with the 8 pixels on the other object it would be 8 / 20
    assert ppv.tolist() == [16 / 20]


def test_pixels_that_touch_at_a_corner_are_one_object() -> None:
    corner = np.eye(6, dtype=bool)
    assert len(component_matches(corner, corner, np.ones_like(corner), SMALL)[0]) == 1
    judged = np.ones_like(corner)
    judged[3] = False  # void parts it
    assert len(component_matches(corner, corner, judged, Track(1, 1))[0]) == 2


def test_components_of_exactly_the_minimal_size_count() -> None:
    everything = np.ones((25, 40), bool)
    for track, true_pixels, predicted_pixels in [(ANOMALY_TRACK, 100, 500), (OBSTACLE_TRACK, 10, 50)]:
        for true_count, predicted_count in itertools.product((0, 1), repeat=2):
            anomaly = np.arange(1000).reshape(25, 40) < true_pixels - 1 + true_count
            predicted = np.arange(1000)[::-1].reshape(25, 40) < predicted_pixels - 1 + predicted_count
            siou, ppv = component_matches(predicted, anomaly, everything, track)
            assert (len(siou), len(ppv)) == (true_count, predicted_count)


def test_a_prediction_on_a_small_object_is_void() -> None:
    anomaly = np.zeros((6, 6), bool)
    anomaly[0, :3] = True
    predicted = np.zeros((6, 6), bool)
    predicted[:2] = True
    siou, ppv = component_matches(predicted, anomaly, np.ones((6, 6), bool), SMALL)
    assert (siou.tolist(), ppv.tolist()) == ([], [0.0])
    assert component_matches(anomaly, anomaly, np.ones((6, 6), bool), Track(1, 4))[1].tolist() == []


def test_a_level_is_reached_by_equality() -> None:
    anomaly = np.zeros((4, 5), bool)
    anomaly[0] = True
    predicted = np.zeros((4, 5), bool)
    predicted[0, :3] = True  # sIoU 3 / 5, PPV 1
    stream = StreamingComponents(1.0, Track(1, 1))
    stream.update(predicted.astype(np.float32), anomaly, np.ones_like(anomaly))
    assert stream.compute().true_positives == (1,) * 8 + (0,) * 3
    assert [f"{level:.2f}" for level in LEVELS[[0, 7, 10]]] == ["0.25", "0.60", "0.75"]


def test_without_components_nothing_is_defined() -> None:
    stream = StreamingComponents(0.5)
    stream.update(np.zeros((5, 7)), np.zeros((5, 7), bool), np.ones((5, 7), bool))
    scores: ComponentScores = stream.compute()
    assert all(map(math.isnan, (scores.siou, scores.ppv, scores.f1, *scores.f1_at)))
    assert scores.true_components == scores.predicted_components == 0
