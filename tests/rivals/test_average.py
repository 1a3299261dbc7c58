from __future__ import annotations

import pytest
import torch

from synthcp.comparison.logit_scores import LogitDetector, entropy
from synthcp.records import Detection, Prediction
from synthcp.rivals.average import Average
from synthcp.rivals.constant import ConstantQuality

IMAGE, PREDICTION = torch.rand(2, 1, 3, 4), Prediction(torch.rand(2, 3, 3, 4))


def mapped(image: torch.Tensor, prediction: Prediction) -> Detection:
    return Detection(error_map=image[:, 0], class_quality=torch.tensor([[0.2, 0.4, 0.9], [0.1, 0.0, 1.0]]))


def test_the_mean_of_qualities_and_the_maps_of_the_first() -> None:
    constant = ConstantQuality((0.4, 1.0, 0.1))
    judged = Average((mapped, constant, constant))(IMAGE, PREDICTION)
    assert judged.class_quality is not None and judged.error_map is not None
    expected = torch.tensor([[1.0, 2.4, 1.1], [0.9, 2.0, 1.2]]) / 3
    torch.testing.assert_close(judged.class_quality, expected)
    assert judged.error_map.equal(IMAGE[:, 0])
    assert Average((constant, mapped))(IMAGE, PREDICTION).error_map is None


def test_what_cannot_be_averaged_is_refused(fails) -> None:
    with fails("average of 1"):
        Average((mapped,))
    with fails("no class quality"):
        Average((mapped, LogitDetector(entropy)))(IMAGE, PREDICTION)


@pytest.mark.parametrize("count", [2, 5])
def test_the_average_of_one_and_the_same_is_it(count: int) -> None:
    judged = Average((mapped,) * count)(IMAGE, PREDICTION).class_quality
    assert judged is not None
    torch.testing.assert_close(judged, mapped(IMAGE, PREDICTION).class_quality)
