from __future__ import annotations

import pytest
import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.records import Detection, Prediction
from synthcp.rivals.one_level import ImageLevel, PixelLevel

IMAGE, PREDICTION = torch.rand(2, 3, 4, 5), Prediction(torch.rand(2, 3, 4, 5))
FULL = Detection(
    error_map=torch.rand(2, 4, 5),
    verdict=torch.rand(2, 4, 5),
    anomaly_map=torch.rand(2, 4, 5),
    class_quality=torch.rand(2, 3),
    synthesis=torch.rand(2, 3, 4, 5),
)


def says(detection: Detection) -> Detector:
    def judge(image: Tensor, prediction: Prediction) -> Detection:
        assert image is IMAGE and prediction is PREDICTION
        return detection

    return judge


@pytest.mark.parametrize(
    ("level", "kept"), [(PixelLevel, {"error_map", "verdict"}), (ImageLevel, {"class_quality"})], ids=["pixel", "image"]
)
def test_one_level_is_kept(level: type[PixelLevel | ImageLevel], kept: set[str]) -> None:
    judged = vars(level(says(FULL))(IMAGE, PREDICTION))
    assert {name for name, part in judged.items() if part is not None} == kept
    assert all(judged[name] is vars(FULL)[name] for name in kept)


def test_a_level_that_is_missing_is_refused(fails) -> None:
    with fails("function draws no error map"):
        PixelLevel(says(Detection(class_quality=FULL.class_quality)))(IMAGE, PREDICTION)
    with fails("function predicts no class quality"):
        ImageLevel(says(Detection(error_map=FULL.error_map)))(IMAGE, PREDICTION)
