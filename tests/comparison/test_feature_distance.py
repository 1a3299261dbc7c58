from __future__ import annotations

import pytest
import torch
from scipy.spatial.distance import cosine

from synthcp.comparison.feature_distance import SLAB, FeatureDistance, feature_distance, refine_by_msp
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
    rows = 2 * SLAB + 3  # the last slab is a thin one
    first, second = torch.randn(2, 6, rows, 4), torch.randn(2, 6, rows, 4)
    distance = feature_distance(first, second)
    for batch, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(rows), torch.arange(4)).tolist():
        expected = cosine(first[batch, :, row, column].numpy(), second[batch, :, row, column].numpy())
        assert distance[batch, row, column].item() == pytest.approx(expected, abs=1e-6)


def test_distance_ignores_length_and_ends_at_two() -> None:
    features = torch.tensor([1.0, -2.0, 3.0]).view(1, 3, 1, 1)
    assert feature_distance(features, 7 * features).item() == pytest.approx(0, abs=1e-6)
    assert feature_distance(features, -features).item() == pytest.approx(2)


def test_nothing_on_both_sides_is_no_difference_but_nothing_on_one_side_is() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 5, 2, 3), torch.randn(2, 5, 2, 3)
    expected = feature_distance(first, second)
    first[0, :, 0, 1], second[1, :, 1, 0] = 0, 0
    first[1, :, 0, 2], second[1, :, 0, 2] = 0, 0
    expected[0, 0, 1], expected[1, 1, 0], expected[1, 0, 2] = 1, 1, 0
    torch.testing.assert_close(feature_distance(first, second), expected, atol=1e-6, rtol=1e-6)


def test_the_distance_of_nothing_gives_no_gradient() -> None:
    synthesis = torch.tensor([[0.0, 1.0], [0.0, 2.0]])[None].requires_grad_()  # two channels, two pixels
    distance = feature_distance(torch.tensor([[[0.0, 2.0], [0.0, 1.0]]]), synthesis)
    (slope,) = torch.autograd.grad(distance.sum(), synthesis)
    assert slope.isfinite().all() and (slope != 0).tolist() == [[[False, True], [False, True]]]


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
    given = comparator.distance(image, synthesis, Prediction(torch.zeros(1, 3, 32, 40), (features,)))
    expected = feature_distance(features, segmenter.features(synthesis)[-1])
    torch.testing.assert_close(given, resize(expected[:, None], (32, 40))[:, 0])
    without = comparator.distance(image, synthesis, Prediction(torch.zeros(1, 3, 32, 40)))
    assert without.equal(comparator.distance(image, synthesis, segmenter(image)))


def test_another_layer(segmenter: DeepLab) -> None:
    image, synthesis = torch.rand(1, 3, 32, 40), torch.rand(1, 3, 32, 40)
    expected = feature_distance(segmenter.features(image)[1], segmenter.features(synthesis)[1])
    distance = FeatureDistance(segmenter, layer=1).distance(image, synthesis, segmenter(image))
    torch.testing.assert_close(distance, resize(expected[:, None], (32, 40))[:, 0])


def two_images(seed: int) -> torch.Tensor:
    return torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(seed))


def test_disagreement_by_loop(segmenter: DeepLab) -> None:
    for parameter in segmenter.pyramid.parameters():
        parameter.mul_(10)  # so sure of itself that softmax and resize cannot be exchanged
    image, synthesis = two_images(1), two_images(2)
    prediction, drawn = segmenter(image), segmenter(synthesis)
    result = FeatureDistance(segmenter).feature_distances(image, synthesis, prediction)
    expected = torch.zeros(2, 1, 32, 40)
    for batch, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(32), torch.arange(40)).tolist():
        predicted = int(prediction.logits[batch, :, row, column].argmax())
        expected[batch, 0, row, column] = 1 - drawn.logits[batch, :, row, column].softmax(0)[predicted]
    torch.testing.assert_close(result[:, :1], expected)
    assert (prediction.label_map != drawn.label_map).any()  # else another label map would do as well

    pairs = list(zip(segmenter.features(image), segmenter.features(synthesis), strict=True))
    assert result.shape == (2, 1 + len(pairs), 32, 40)
    for layer, (first, second) in enumerate(pairs):
        distance = torch.zeros(2, 1, *first.shape[2:])
        for batch, row, column in torch.cartesian_prod(*(torch.arange(n) for n in distance[:, 0].shape)).tolist():
            a, b = first[batch, :, row, column], second[batch, :, row, column]
            distance[batch, 0, row, column] = 1 - a @ b / (a.norm() * b.norm())
        torch.testing.assert_close(result[:, 1 + layer], resize(distance, (32, 40))[:, 0], atol=1e-5, rtol=1e-5)


def test_the_image_disagrees_with_itself_only_by_the_doubt_of_the_segmenter(segmenter: DeepLab) -> None:
    image = two_images(1)
    prediction = segmenter(image)
    recognition, *distances = FeatureDistance(segmenter).feature_distances(image, image, prediction).unbind(1)
    torch.testing.assert_close(recognition, 1 - prediction.confidence)
    assert all(distance.abs().max() < 1e-6 for distance in distances) and len(distances) == 4
    assert recognition.min() > 0.01


def test_each_channel_of_the_disagreement_is_the_distance_at_its_layer(segmenter: DeepLab) -> None:
    image, synthesis = two_images(1), two_images(2)
    prediction = segmenter(image)
    feature_distances = FeatureDistance(segmenter).feature_distances(image, synthesis, prediction)
    torch.testing.assert_close(
        feature_distances[:, -1], FeatureDistance(segmenter).distance(image, synthesis, prediction)
    )
    for layer in range(4):
        distance = FeatureDistance(segmenter, layer=layer).distance(image, synthesis, prediction)
        torch.testing.assert_close(feature_distances[:, 1 + layer], distance)
