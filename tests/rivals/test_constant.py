from __future__ import annotations

import math

import pytest
import torch

from synthcp.metrics.ranking import ranking_scores
from synthcp.nn.labels import one_hot
from synthcp.records import Prediction
from synthcp.rivals.constant import ConstantError, ConstantQuality, VolumeShare, fit_constant
from synthcp.rivals.quality_regression import RegressedQuality, fit_line


def test_the_constant_is_the_mean_of_what_is_judged() -> None:
    quality = torch.tensor([[0.2, 1.0], [0.5, math.nan], [0.8, 0.0]])
    constant = fit_constant(quality)
    assert constant.values == pytest.approx((0.5, 0.5))
    judged = constant(torch.rand(3, 1, 4, 5), Prediction(torch.rand(3, 2, 4, 5)))
    assert judged.class_quality is not None and judged.error_map is None
    assert judged.class_quality.shape == (3, 2) and judged.class_quality.eq(0.5).all()


def test_values_that_are_no_quality_are_refused(fails) -> None:
    with fails("(0.5, 1.5)"):
        ConstantQuality((0.5, 1.5))
    with fails("must lie in [0, 1]"):
        fit_constant(torch.tensor([[math.nan, math.nan]]))


def test_a_class_that_is_judged_nowhere_gets_the_mean_over_the_others() -> None:
    quality = torch.tensor([[0.2, math.nan, 1.0], [math.nan, math.nan, 0.6]])
    assert fit_constant(quality).values == pytest.approx((0.2, 0.6, 0.8))


@pytest.mark.parametrize("size", [(4, 5), (2, 5, 4)])
def test_a_constant_error_map_ranks_by_chance(size: tuple[int, ...]) -> None:
    prediction = Prediction(torch.rand(3, 2, *size))
    error_map = ConstantError(0.2)(torch.rand(3, 1, *size), prediction).error_map
    assert error_map is not None and error_map.shape == (3, *size)
    wrong = torch.rand(3, *size, generator=torch.Generator().manual_seed(0)) < 0.3
    scores = ranking_scores(error_map, wrong)
    assert scores.ap_error == pytest.approx(wrong.float().mean().item()) and scores.auroc == 0.5


@pytest.mark.parametrize("size", [(4, 5), (2, 5, 4)])
def test_the_share_is_counted(size: tuple[int, ...]) -> None:
    label_map = torch.zeros(2, *size, dtype=torch.int64)
    label_map[0, ..., 0], label_map[1, 0] = 1, 3
    scores = VolumeShare()(torch.rand(2, 1, *size), Prediction(one_hot(label_map, 4))).scores
    for index in range(2):
        for label in range(4):
            count = int((label_map[index] == label).sum())
            expected = count / label_map[index].numel() if count else math.nan
            assert scores[index, label].item() == pytest.approx(expected, nan_ok=True)


def test_a_control_by_volume_learns_that_small_is_bad() -> None:
    label_maps = torch.zeros(6, 8, 8, dtype=torch.int64)
    for index in range(6):
        label_maps[index, : index + 1] = 1
    prediction = Prediction(one_hot(label_maps, 2))
    quality = torch.linspace(0.2, 0.9, 6)[:, None].expand(-1, 2)
    scores = VolumeShare()(label_maps[:, None].float(), prediction).scores
    judged = RegressedQuality(VolumeShare(), fit_line(scores, quality))(label_maps[:, None].float(), prediction)
    assert judged.class_quality is not None
    torch.testing.assert_close(judged.class_quality, quality)
