from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_cdt, gaussian_filter
from torch import Tensor

from synthcp.config.values import from_dict, to_dict
from synthcp.records import Prediction
from synthcp.rivals.standardized_max_logits import (
    ClassStatistics,
    MaxLogitSmoothing,
    StandardizedMaxLogits,
    fit_class_statistics,
    fit_standardization,
    suppress_boundaries,
)

SIZES = [(13, 17), (7, 6, 9)]
PLAIN = MaxLogitSmoothing(boundary=0, sigma=0.0)


def prediction_of(size: tuple[int, ...], seed: int = 0, batch: int = 2) -> Prediction:
    """Class 1 is predicted with larger logits than class 0, class 2 never."""
    logits = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))
    logits[:, 1] *= 3
    logits[:, 2] = -20
    return Prediction(logits)


def blocks(size: tuple[int, ...]) -> Tensor:
    """A label map of two halves along the last axis, with a block of a third class in a corner."""
    label_map = torch.zeros(1, *size, dtype=torch.int64)
    label_map[..., size[-1] // 2 :] = 1
    label_map[(slice(None), *[slice(0, 3)] * len(size))] = 2
    return label_map


@pytest.mark.parametrize("size", SIZES)
def test_score_is_the_max_logit_standardized_pixel_by_pixel(size: tuple[int, ...]) -> None:
    fitted = [prediction_of(size, seed) for seed in (1, 2)]
    logits = np.concatenate([p.logits.double().movedim(1, -1).reshape(-1, 3).numpy() for p in fitted])
    mean = [logits.max(1)[logits.argmax(1) == label].mean() for label in (0, 1)]
    deviation = [logits.max(1)[logits.argmax(1) == label].std() for label in (0, 1)]
    detector = StandardizedMaxLogits(fit_standardization(fitted, classes=3), PLAIN)
    prediction = prediction_of(size)
    judged = detector(torch.zeros(2, 3, *size), prediction)
    assert judged.anomaly_map is not None and judged.error_map is judged.anomaly_map
    pixels = prediction.logits.movedim(1, -1).reshape(-1, 3).numpy()
    expected = [-(z.max() - mean[z.argmax()]) / deviation[z.argmax()] for z in pixels]
    assert judged.anomaly_map.flatten().tolist() == pytest.approx(expected, abs=1e-4)


def test_a_class_never_predicted_takes_the_pooled_statistics() -> None:
    statistics = fit_standardization([prediction_of((13, 17))], classes=3)
    top = prediction_of((13, 17)).logits.amax(1).double()
    assert statistics.means[2] == pytest.approx(-top.mean().item())
    assert statistics.deviations[2] == pytest.approx(top.std(correction=0).item())


def suppressed(score: np.ndarray, labels: np.ndarray, width: int) -> np.ndarray:
    """By loop: bands by the city-block distance to the nearest pixel of another class."""
    distance = np.zeros(labels.shape)
    for label in np.unique(labels):
        distance = np.where(labels == label, distance_transform_cdt(labels == label, "taxicab"), distance)
    for half in range(width, 0, -1):
        filled = score.copy()
        for pixel in np.ndindex(score.shape):
            window = [tuple(np.add(pixel, step)) for step in itertools.product((-1, 0, 1), repeat=score.ndim)]
            inside = [q for q in window if all(0 <= x < side for x, side in zip(q, score.shape, strict=True))]
            outer = [score[q] for q in inside if distance[q] > half]
            if distance[pixel] <= half and outer:
                filled[pixel] = np.mean(outer)
        score = filled
    return score


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("width", [1, 2, 4])
def test_boundaries_are_filled_from_outside_of_each_band(size: tuple[int, ...], width: int) -> None:
    score, label_map = torch.randn(1, *size, generator=torch.Generator().manual_seed(0)), blocks(size)
    oracle = suppressed(score[0].numpy(), label_map[0].numpy(), width)
    torch.testing.assert_close(suppress_boundaries(score, label_map, width)[0], torch.from_numpy(oracle))


def test_a_doubt_that_only_a_boundary_causes_goes_away() -> None:
    label_map = blocks((13, 17))
    score = torch.zeros(1, 13, 17)
    score[..., 7:9] = 5.0
    assert suppress_boundaries(score, torch.where(label_map == 2, 0, label_map), 4).abs().max() == 0
    assert suppress_boundaries(score, label_map, 0) is score


def test_both_smoothings_follow_each_other() -> None:
    prediction = prediction_of((13, 17), batch=1)
    statistics = ClassStatistics((-1.0, -2.0, -1.0), (0.5, 1.5, 1.0))
    image = torch.zeros(1, 3, 13, 17)
    plain = StandardizedMaxLogits(statistics, PLAIN)(image, prediction).anomaly_map
    smooth = StandardizedMaxLogits(statistics, MaxLogitSmoothing(2, 1.0, 1))(image, prediction).anomaly_map
    assert plain is not None and smooth is not None
    filled = suppressed(plain[0].numpy(), prediction.label_map[0].numpy(), 2)
    oracle = gaussian_filter(filled, 1.0, mode="nearest", truncate=3.0)
    torch.testing.assert_close(smooth[0], torch.from_numpy(oracle), atol=1e-5, rtol=1e-5)


def pairs_of(size: tuple[int, ...], classes: int = 4) -> list[tuple[Tensor, Tensor]]:
    """Three images whose scores depend on their class; class 2 never comes, 255 is no class."""
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for index in range(3):
        label_map = torch.tensor([0, 1, 3, 255])[torch.randint(classes, (1 + index, *size), generator=generator)]
        noise = torch.randn(label_map.shape, generator=generator)
        pairs.append((1000 + 7.0 * label_map + (1 + label_map % 5) * noise, label_map))
    return pairs


def flat(pairs: list[tuple[Tensor, Tensor]]) -> tuple[np.ndarray, np.ndarray]:
    scores = np.concatenate([score.double().numpy().ravel() for score, _ in pairs])
    return scores, np.concatenate([label_map.numpy().ravel() for _, label_map in pairs])


@pytest.mark.parametrize("size", [(7, 9), (3, 5, 4)])
def test_streamed_statistics_are_those_of_all_pixels_at_once(size: tuple[int, ...]) -> None:
    pairs = pairs_of(size)
    scores, labels = flat(pairs)
    statistics = fit_class_statistics(iter(pairs), classes=4)
    for label in (0, 1, 3):
        assert statistics.means[label] == pytest.approx(scores[labels == label].mean(), rel=1e-12)
        assert statistics.deviations[label] == pytest.approx(scores[labels == label].std(), rel=1e-9)


def test_a_class_that_never_comes_takes_the_statistics_of_all_known_pixels() -> None:
    pairs = pairs_of((7, 9))
    scores, labels = flat(pairs)
    statistics = fit_class_statistics(pairs, classes=4)
    assert statistics.means[2] == pytest.approx(scores[labels < 4].mean(), rel=1e-12)
    assert statistics.deviations[2] == pytest.approx(scores[labels < 4].std(), rel=1e-9)


def test_so_does_a_class_of_too_few_pixels_or_of_one_score() -> None:
    score, label_map = torch.tensor([[1.0, 4.0, 9.0, 2.0, 2.0]]), torch.tensor([[0, 0, 1, 2, 2]])
    statistics = fit_class_statistics([(score, label_map)], classes=3)
    assert statistics.means == pytest.approx((2.5, 3.6, 3.6))
    assert statistics.deviations[0] == 1.5
    assert statistics.deviations[1:] == pytest.approx((score.double().std(correction=0).item(),) * 2)
    assert fit_class_statistics([(score, label_map)], classes=3, fewest=3).means == pytest.approx((3.6,) * 3)


@pytest.mark.parametrize("size", [(7, 9), (3, 5, 4)])
def test_what_was_fitted_on_has_mean_0_and_deviation_1_in_every_class(size: tuple[int, ...]) -> None:
    pairs = [(score, label_map.clamp(max=3)) for score, label_map in pairs_of(size)]
    statistics = fit_class_statistics(pairs, classes=4)
    z, labels = flat([(statistics.standardize(*pair), pair[1]) for pair in pairs])
    for label in (0, 1, 3):
        assert z[labels == label].mean() == pytest.approx(0, abs=1e-4)
        assert z[labels == label].std() == pytest.approx(1, abs=1e-4)


def test_every_pixel_is_measured_by_its_own_class() -> None:
    statistics = ClassStatistics((1.0, -2.0), (0.5, 4.0))
    z = statistics.standardize(torch.tensor([[2.0, 2.0, 0.0]]), torch.tensor([[0, 1, 1]]))
    assert z.tolist() == [[2.0, 1.0, 0.5]]


def test_statistics_survive_json() -> None:
    statistics = fit_class_statistics(pairs_of((7, 9)), classes=4)
    assert from_dict(ClassStatistics, json.loads(json.dumps(to_dict(statistics)))) == statistics


@pytest.mark.parametrize(
    "pairs", [[], [(torch.tensor([[2.0, 2.0]]), torch.tensor([[0, 1]]))]], ids=["none", "constant"]
)
def test_scores_without_spread_are_refused(pairs, fails):
    with fails("no spread", "more images"):
        fit_class_statistics(pairs, classes=2)


def test_a_score_that_is_nan_is_refused(fails):
    with fails("NaN"):
        fit_class_statistics([(torch.tensor([[1.0, math.nan]]), torch.tensor([[0, 1]]))], classes=2)
