from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcp.errors import MissingExtraError
from synthcp.records import Prediction
from synthcp.rivals.crf import CrfConfig, CrfRefinedMsp, refine_by_crf

SIZES = [(9, 13), (5, 6, 7)]
GENTLE = CrfConfig(smoothness=2.0, appearance=1.0, color_sigma=60.0)


def noise(size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """An image, dark on its left, and logits that speak for one class there and for another on the right."""
    generator = torch.Generator().manual_seed(0)
    image, logits = torch.rand(2, 3, *size, generator=generator), torch.randn(2, 4, *size, generator=generator)
    left = size[-1] // 2
    image[..., :left] /= 2
    logits[:, 0, ..., :left] += 1
    logits[:, 2, ..., left:] += 1
    return image, logits


def exact(image: NDArray[np.float64], probabilities: NDArray[np.float64], config: CrfConfig) -> NDArray[np.float64]:
    """The mean field with every pair of pixels written out."""
    size, pixels = probabilities.shape[1:], probabilities.reshape(len(probabilities), -1)
    positions = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1).reshape(pixels.shape[1], -1)
    colors = 255 * image.reshape(len(image), -1).T
    features = [positions / config.smoothness_sigma]
    features += [np.concatenate([positions / config.appearance_sigma, colors / config.color_sigma], axis=1)]
    kernels = [np.exp(-((f[:, None] - f) ** 2).sum(-1) / 2) for f in features]
    kernels = [k / np.sqrt(np.outer(k.sum(1), k.sum(1))) for k in kernels]
    marginals = pixels
    for _ in range(config.iterations):
        votes = config.smoothness * marginals @ kernels[0] + config.appearance * marginals @ kernels[1]
        marginals = pixels * np.exp(votes - votes.max(0))
        marginals = marginals / marginals.sum(0)
    return marginals.reshape(probabilities.shape)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("config", [GENTLE, CrfConfig(smoothness=3.0, appearance=0.0)], ids=["both", "smoothness"])
def test_marginals_are_those_of_the_mean_field(size: tuple[int, ...], config: CrfConfig) -> None:
    images, logits = noise(size)
    image, probabilities = images[0], logits[0].softmax(dim=0)
    oracle = exact(image.double().numpy(), probabilities.double().numpy(), config)
    refined = refine_by_crf(image, probabilities, config)
    changed, wrong = (refined - probabilities).abs(), (refined - torch.from_numpy(oracle)).abs()
    assert changed.mean() > 0.05 and wrong.mean() < 0.1 * changed.mean()  # the library's filter is an approximation


@pytest.mark.parametrize("size", SIZES)
def test_score_is_one_minus_the_largest_marginal_of_each_image(size: tuple[int, ...]) -> None:
    images, logits = noise(size)
    prediction = Prediction(logits)
    judged = CrfRefinedMsp(GENTLE)(images, prediction)
    assert judged.error_map is None and judged.anomaly_map is not None
    for score, image, probabilities in zip(judged.anomaly_map, images, prediction.probabilities, strict=True):
        torch.testing.assert_close(score, 1 - refine_by_crf(image, probabilities, GENTLE).amax(dim=0))


def test_a_doubtful_pixel_among_sure_ones_of_its_colour_becomes_sure() -> None:
    logits = torch.zeros(1, 3, 9, 12)
    logits[:, 0, :, :6] = logits[:, 1, :, 6:] = 4.0
    logits[:, :, 4, 2] = 0.0
    image = torch.zeros(1, 3, 9, 12)
    image[..., 6:] = 0.9
    prediction = Prediction(logits)
    score = CrfRefinedMsp()(image, prediction).anomaly_map
    assert score is not None and score[0, 4, 2] < 0.05 and prediction.confidence[0, 4, 2] < 0.34


def test_without_the_library_the_extra_is_named(monkeypatch, fails) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    images, logits = noise((9, 13))
    with fails("pydensecrf2", "synthcp[crf]", error=MissingExtraError):
        CrfRefinedMsp()(images, Prediction(logits))
