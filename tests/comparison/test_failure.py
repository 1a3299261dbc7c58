from __future__ import annotations

import pytest
import torch

from synthcp.comparison.blend import Blend
from synthcp.comparison.direct_prediction import DirectPrediction
from synthcp.comparison.evidence import Evidence
from synthcp.comparison.failure import FailureComparator
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.comparison.network import ComparisonConfig
from synthcp.comparison.siamese import SiameseNetwork
from synthcp.comparison.synthesize_then_compare import SynthesizeThenCompare
from synthcp.records import Detection, Prediction
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.synthesis.base import Generator


@pytest.fixture
def segmenter() -> DeepLab:
    torch.manual_seed(0)
    return DeepLab(2, DeepLabConfig(classes=3, width=4)).eval().requires_grad_(False)


@pytest.fixture
def network() -> SiameseNetwork:
    torch.manual_seed(1)
    return SiameseNetwork(2, ComparisonConfig(3, width=4, hidden=4)).eval().requires_grad_(False)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(2))


def test_the_three_scores(segmenter: DeepLab, network: SiameseNetwork, image: torch.Tensor) -> None:
    prediction, synthesis = segmenter(image), 1 - image
    distance = FeatureDistance(segmenter)
    evidence = Evidence(image, synthesis, prediction.logits, distance.feature_distances(image, synthesis, prediction))
    log_odds, _ = network(evidence)
    blend = Blend(0.5, 2.0, -1.0)
    expected: dict[Blend | str, torch.Tensor] = {
        "raw": log_odds.sigmoid(),
        "sum": log_odds.sigmoid() + 1 - prediction.confidence,
        blend: blend(log_odds, prediction.logits),
    }
    for score, error_map in expected.items():
        detection = FailureComparator(network, distance, score)(image, synthesis, prediction)
        assert detection.error_map is not None
        torch.testing.assert_close(detection.error_map, error_map)
        assert (detection.raw_error_map is None) == (score == "raw")
        if detection.raw_error_map is not None:
            torch.testing.assert_close(detection.raw_error_map, expected["raw"])


def test_the_anomaly_map_is_eq_9_with_its_threshold(
    segmenter: DeepLab, network: SiameseNetwork, image: torch.Tensor
) -> None:
    prediction = segmenter(image)
    for threshold in (0.0, 0.4, 1.0):
        distance = FeatureDistance(segmenter, threshold)
        judged = FailureComparator(network, distance)(image, 1 - image, prediction).anomaly_map
        expected = distance(image, 1 - image, prediction).anomaly_map
        assert judged is not None and expected is not None
        torch.testing.assert_close(judged, expected)


@pytest.mark.parametrize("layer", [0, 1, 3, -2, -1])
def test_the_anomaly_map_is_eq_9_at_its_layer(
    segmenter: DeepLab, network: SiameseNetwork, image: torch.Tensor, layer: int
) -> None:
    prediction, distance = segmenter(image), FeatureDistance(segmenter, threshold=1.0, layer=layer)
    judged = FailureComparator(network, distance)(image, 1 - image, prediction).anomaly_map
    assert judged is not None
    torch.testing.assert_close(judged, distance.distance(image, 1 - image, prediction))


def test_class_quality_is_kept_between_zero_and_one(
    segmenter: DeepLab, network: SiameseNetwork, image: torch.Tensor
) -> None:
    network.quality.weight.zero_()
    network.quality.bias.copy_(torch.tensor([-3.0, 0.3, 7.0]))
    quality = FailureComparator(network, FeatureDistance(segmenter))(image, image, segmenter(image)).class_quality
    assert quality is not None
    torch.testing.assert_close(quality, torch.tensor([[0.0, 0.3, 1.0]]))


def test_direct_prediction_shows_the_image_twice(
    segmenter: DeepLab, network: SiameseNetwork, image: torch.Tensor
) -> None:
    comparator = FailureComparator(network, FeatureDistance(segmenter))
    prediction = segmenter(image)
    direct, twice = DirectPrediction(comparator)(image, prediction), comparator(image, image, prediction)
    assert direct.anomaly_map is None and direct.synthesis is None
    assert direct.error_map is not None and twice.error_map is not None
    assert direct.error_map.equal(twice.error_map)
    other = comparator(image, 1 - image, prediction).error_map
    assert other is not None and not direct.error_map.equal(other)


def test_the_drawing_of_the_prediction_is_what_is_compared() -> None:
    class Halves(Generator):
        def forward(self, label_map: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
            return label_map[:, None] / 2 + image / 8

    def difference(image: torch.Tensor, synthesis: torch.Tensor, prediction: Prediction) -> Detection:
        return Detection(error_map=(image - synthesis)[:, 0])

    logits = torch.tensor([[0.0, 5.0], [9.0, 1.0], [1.0, 2.0]]).view(1, 3, 1, 2)  # y_hat = 1, 0
    image = torch.tensor([1.0, 0.25]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    detection = SynthesizeThenCompare(Halves(), difference)(image, Prediction(logits))
    assert detection.synthesis is not None and detection.synthesis[0, 2].tolist() == [[0.625, 0.03125]]
    assert detection.error_map is not None and detection.error_map.tolist() == [[[0.375, 0.21875]]]
