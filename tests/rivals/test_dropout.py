from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy.stats import entropy
from torch import Tensor, nn

from synthcp.nn.spatial import SpatialDims, batch_norm, conv
from synthcp.records import Prediction
from synthcp.rivals.dropout import ClassEntropy, MonteCarloDropout, dropping
from synthcp.rivals.quality_regression import RegressedQuality, fit_linear
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.segmentation.fcn8 import FCN8, FCN8Config

SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (9, 13), 3: (5, 6, 7)}


class Dropping(Segmenter):
    """One convolution, batch norm, dropout, and a classifier."""

    def __init__(self, dims: SpatialDims, p: float = 0.4) -> None:
        super().__init__(dims, (0.0,), (1.0,))
        self.trunk = nn.Sequential(conv(dims, 3, 16), batch_norm(dims, 16))
        self.dropout = nn.Dropout(p)
        self.classifier = conv(dims, 16, 4, kernel=1)

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = self.trunk(image)
        return 2 * self.classifier(self.dropout(features)), [features]


@pytest.fixture(params=[2, 3])
def dims(request: pytest.FixtureRequest) -> SpatialDims:
    return 3 if request.param == 3 else 2


@pytest.fixture
def segmenter(dims: SpatialDims) -> Segmenter:
    torch.manual_seed(0)
    return Dropping(dims).eval().requires_grad_(False)


@pytest.fixture
def image(dims: SpatialDims) -> Tensor:
    return torch.rand(2, 3, *SIZES[dims], generator=torch.Generator().manual_seed(1))


def test_score_is_the_entropy_of_the_mean_softmax(segmenter: Segmenter, image: Tensor) -> None:
    detector = MonteCarloDropout(segmenter, passes=5, seed=3)
    judged = detector(image, segmenter(image))
    segmenter.get_submodule("dropout").train()
    for index in (0, 1):
        means = torch.zeros(1)
        for number in range(5):
            torch.manual_seed(3 + number)
            means = means + segmenter(image[index : index + 1]).probabilities / 5
        oracle = torch.from_numpy(entropy(means[0].double().numpy(), base=4, axis=0)).float()
        assert judged.anomaly_map is not None and judged.error_map is judged.anomaly_map
        torch.testing.assert_close(judged.anomaly_map[index], oracle, atol=1e-5, rtol=1e-5)


def test_passes_differ_and_their_mean_converges(segmenter: Segmenter, image: Tensor) -> None:
    prediction = segmenter(image)

    def mean(passes: int, seed: int) -> Tensor:
        return MonteCarloDropout(segmenter, passes, seed).mean_softmax(image, prediction)

    def gap(passes: int) -> float:
        return (mean(passes, 0) - mean(passes, 1000)).square().mean().sqrt().item()

    assert gap(1) > 0.05
    assert gap(16) == pytest.approx(gap(1) / 4, rel=0.3) and gap(144) == pytest.approx(gap(1) / 12, rel=0.3)
    torch.testing.assert_close(mean(4, 0), mean(4, 0), atol=0, rtol=0)


def test_everything_is_left_as_it_was(segmenter: Segmenter, image: Tensor) -> None:
    statistics = {name: value.clone() for name, value in segmenter.state_dict().items()}
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    MonteCarloDropout(segmenter, passes=2)(image, segmenter(image))
    assert torch.rand(3).equal(expected)
    assert not any(module.training for module in segmenter.modules())
    assert all(value.equal(statistics[name]) for name, value in segmenter.state_dict().items())


def test_the_mode_is_restored_even_when_a_pass_raises(segmenter: Segmenter) -> None:
    segmenter.get_submodule("trunk").train()
    before = [module.training for module in segmenter.modules()]
    with pytest.raises(ZeroDivisionError), dropping(segmenter):
        assert [name for name, module in segmenter.named_modules() if module.training] == ["dropout"]
        raise ZeroDivisionError
    assert [module.training for module in segmenter.modules()] == before


BUILT_IN: dict[str, Callable[[SpatialDims], Segmenter]] = {
    "deeplab": lambda dims: DeepLab(dims, DeepLabConfig(4, width=4, rates=(1,))),
    "deeplab-v3's head": lambda dims: DeepLab(dims, DeepLabConfig(4, width=4, rates=(1,), head="v3", hidden=16)),
    "fcn8": lambda dims: FCN8(dims, FCN8Config(4, width=4, hidden=16, margin=0, normalized=True)),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_of_built_in_segmenters_too_passes_differ_and_their_mean_converges(
    name: str, dims: SpatialDims, image: Tensor
) -> None:
    torch.manual_seed(0)
    segmenter = BUILT_IN[name](dims).eval().requires_grad_(False)

    def spread(passes: int) -> float:
        """Of the mean over some passes, when it is taken twelve times."""
        detectors = [MonteCarloDropout(segmenter, passes, seed) for seed in range(0, 12_000, 1000)]
        means = [detector.mean_softmax(image[:1], Prediction(image[:1])) for detector in detectors]
        return torch.stack(means).double().std(dim=0).mean().item()

    assert spread(1) > 1e-5
    assert spread(16) == pytest.approx(spread(1) / 4, rel=0.4)


@pytest.mark.parametrize("p", [0.0, None])
def test_a_model_without_dropout_is_refused(p, fails) -> None:
    segmenter = Dropping(2, p or 0.0)
    if p is None:
        segmenter.dropout = nn.Identity()  # type: ignore[assignment]
    with fails("Dropping has no dropout layer", "another detector"):
        MonteCarloDropout(segmenter)


def test_no_pass_is_refused(segmenter: Segmenter, fails) -> None:
    with fails("passes = 0"):
        MonteCarloDropout(segmenter, passes=0)


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
