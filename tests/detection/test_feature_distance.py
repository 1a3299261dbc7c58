from __future__ import annotations

import pytest
import torch
from scipy.spatial.distance import cosine

from synthcp.detection.feature_distance import FeatureDistance, feature_distance, refine_by_msp
from synthcp.errors import InputError
from synthcp.nn.spatial import resize
from synthcp.records import Prediction
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig


@pytest.fixture
def segmenter() -> DeepLab:
    torch.manual_seed(0)
    return DeepLab(2, DeepLabConfig(classes=3, width=4)).eval().requires_grad_(False)


def test_distance_is_cosine_pixel_by_pixel() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 6, 3, 4), torch.randn(2, 6, 3, 4)
    distance = feature_distance(first, second)
    for batch, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(3), torch.arange(4)).tolist():
        expected = cosine(first[batch, :, row, column].numpy(), second[batch, :, row, column].numpy())
        assert distance[batch, row, column].item() == pytest.approx(expected, abs=1e-6)


def test_distance_ignores_length_and_ends_at_two() -> None:
    features = torch.tensor([1.0, -2.0, 3.0]).view(1, 3, 1, 1)
    assert feature_distance(features, 7 * features).item() == pytest.approx(0, abs=1e-6)
    assert feature_distance(features, -features).item() == pytest.approx(2)


@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.999, 1.0])
def test_refinement_is_its_formula(threshold: float) -> None:
    distance = torch.tensor([0.1, 0.9, 1.5, 0.3, 0.7])
    confidence = torch.tensor([0.4, 0.6, 0.601, 0.9995, 1.0])
    pairs = zip(distance.tolist(), confidence.tolist(), strict=True)
    expected = [c if p <= torch.tensor(threshold).item() else 1 - p for c, p in pairs]
    torch.testing.assert_close(refine_by_msp(distance, confidence, threshold), torch.tensor(expected))


@pytest.mark.parametrize("threshold", [-0.1, 1.001])
def test_threshold_outside_of_zero_to_one(segmenter: DeepLab, threshold: float) -> None:
    with pytest.raises(InputError, match="must lie in"):
        FeatureDistance(segmenter, threshold)


def test_features_of_the_prediction_are_not_computed_again(segmenter: DeepLab) -> None:
    image, synthesis = torch.rand(1, 3, 32, 40), torch.rand(1, 3, 32, 40)
    features = torch.randn(1, 32, 4, 5)
    comparator = FeatureDistance(segmenter)
    given = comparator.distance(image, synthesis, Prediction(torch.zeros(1, 3, 32, 40), features))
    expected = feature_distance(features, segmenter.features(synthesis)[-1])
    torch.testing.assert_close(given, resize(expected[:, None], (32, 40))[:, 0])
    without = comparator.distance(image, synthesis, Prediction(torch.zeros(1, 3, 32, 40)))
    assert without.equal(comparator.distance(image, synthesis, segmenter(image)))


def test_another_layer(segmenter: DeepLab) -> None:
    image, synthesis = torch.rand(1, 3, 32, 40), torch.rand(1, 3, 32, 40)
    expected = feature_distance(segmenter.features(image)[1], segmenter.features(synthesis)[1])
    distance = FeatureDistance(segmenter, layer=1).distance(image, synthesis, segmenter(image))
    torch.testing.assert_close(distance, resize(expected[:, None], (32, 40))[:, 0])
