from __future__ import annotations

import pytest
import torch
from scipy.stats import entropy
from torch import Tensor

from synthcp.nn.spatial import SpatialDims
from synthcp.records import Prediction
from synthcp.rivals.class_entropy import ClassEntropy
from synthcp.rivals.dropout import MonteCarloDropout
from synthcp.rivals.quality_regression import RegressedQuality, fit_linear

SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (9, 14), 3: (5, 6, 8)}


@pytest.fixture
def score(dropout: MonteCarloDropout) -> ClassEntropy:
    return ClassEntropy(dropout)


def images(dims: SpatialDims, count: int) -> Tensor:
    """Pictures of rising contrast, of which M is ever more sure."""
    noise = torch.rand(count, 3, *SIZES[dims], generator=torch.Generator().manual_seed(1))
    return noise * torch.linspace(0.2, 1, count).view(count, *[1] * (dims + 1))


def test_scores_and_error_map_by_pixel(score: ClassEntropy, dims: SpatialDims) -> None:
    image = images(dims, 2)
    found = score(image, Prediction(image))
    mean = score.dropout.mean_softmax(image, Prediction(image)).double().numpy()
    assert found.error_map is not None and found.scores.shape == (2, 3)
    for index in (0, 1):
        for label in range(3):
            p = mean[index, label].flatten()
            expected = entropy([p, 1 - p], base=2, axis=0).mean()
            assert found.scores[index, label].item() == pytest.approx(expected, rel=1e-4)
        expected_map = torch.from_numpy(entropy(mean[index], base=3, axis=0)).float()
        torch.testing.assert_close(found.error_map[index], expected_map, atol=1e-5, rtol=1e-4)


def test_the_error_map_is_that_of_dropout_at_the_level_of_pixels(score: ClassEntropy, dims: SpatialDims) -> None:
    image = images(dims, 2)
    alone = score.dropout(image, Prediction(image)).error_map
    assert alone is not None
    torch.testing.assert_close(score(image, Prediction(image)).error_map, alone)


def test_certainty_scores_0(score: ClassEntropy, dims: SpatialDims) -> None:
    """No pixel is torn, so that p is 0 or 1 in every pass: a limit without NaN."""
    classifier = score.dropout.segmenter.get_submodule("classifier")
    assert isinstance(classifier.bias, Tensor)
    classifier.bias.copy_(torch.tensor([500.0, 0.0, 0.0]))
    image = images(dims, 1)
    assert score(image, Prediction(image)).scores[0].tolist() == pytest.approx([0, 0, 0], abs=1e-30)


def test_a_planted_relation_is_recovered(score: ClassEntropy, dims: SpatialDims) -> None:
    """Quality mixes the entropies of all classes; new images get the quality that was planted."""
    image = images(dims, 24)
    scores = score(image, Prediction(image)).scores.double()
    spread = (scores - scores.mean(0)) / scores.std(0)
    quality = 0.5 + spread @ torch.tensor([[-0.1, 0.02, 0.03], [0.0, -0.08, 0.01], [0.05, 0.0, -0.02]]).double().T
    detector = RegressedQuality(score, fit_linear(scores[::2], quality[::2], ridge=1e-9))
    predicted = detector(image[1::2], Prediction(image[1::2])).class_quality
    assert predicted is not None
    torch.testing.assert_close(predicted, quality[1::2].float(), atol=2e-3, rtol=0)
