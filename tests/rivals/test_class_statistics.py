from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from synthcp.config.values import from_dict, to_dict
from synthcp.rivals.class_statistics import ClassStatistics, fit_class_statistics


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
