from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.distributions import Normal

from synthcp.comparison.feature_synthesis import KEPT, MOST_LOG_VARIANCE, SMOOTHING, FeatureSynthesis, Whitening
from synthcp.nn.labels import one_hot
from synthcp.nn.spatial import SpatialDims
from synthcp.training.loop import descend

SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (7, 9), 3: (4, 7, 6)}


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def synthesis(dims: SpatialDims) -> FeatureSynthesis:
    torch.manual_seed(0)
    return FeatureSynthesis(dims, 3, kept=4, hidden=5).eval().requires_grad_(False)


@pytest.mark.parametrize("dims", [2, 3])
def test_whitened_features_have_no_mean_no_correlation_and_variance_one(dims: SpatialDims) -> None:
    mixed = [torch.einsum("cd,d...->c...", random(6, 6), random(6, *SIZES[dims], seed=seed)) + 5 for seed in (1, 2, 3)]
    whitening = Whitening(6)
    whitening.fit(mixed)
    rows = torch.cat([whitening(image[None])[0].flatten(1) for image in mixed], dim=1)
    torch.testing.assert_close(rows.mean(dim=1), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(rows), torch.eye(6), atol=1e-3, rtol=0)


def test_the_directions_that_vary_most_are_kept() -> None:
    scales = torch.arange(1, KEPT + 11).float()
    features = scales[:, None, None] * random(KEPT + 10, 40, 50)
    whitening = Whitening(KEPT + 10)
    whitening.fit([features])
    assert whitening(features[None]).shape == (1, KEPT, 40, 50)
    used = whitening.directions.abs().amax(dim=0) * scales  # in standard deviations of the channel
    assert used[:8].max() < 0.3 and used[-20:].min() > 0.3


@pytest.mark.parametrize("dims", [2, 3])
def test_the_unlikeliness_is_that_of_gaussians(dims: SpatialDims) -> None:
    network, whitened = synthesis(dims), random(2, 4, *SIZES[dims])
    shares = random(2, 3, *SIZES[dims], seed=1).softmax(dim=1)
    mean, log_variance = network(shares)
    log_likelihood = Normal(mean, (log_variance / 2).exp()).log_prob(whitened).mean(dim=1)
    expected = -log_likelihood - 0.5 * np.log(2 * np.pi)
    torch.testing.assert_close(network.unlikeliness(whitened, shares), expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_surprise_is_smoothed(dims: SpatialDims) -> None:
    network, whitened = synthesis(dims), random(1, 4, *SIZES[dims])
    shares = random(1, 3, *SIZES[dims], seed=1).softmax(dim=1)
    alone = network.unlikeliness(whitened, shares)[0].numpy()
    expected = gaussian_filter(alone, SMOOTHING, mode="nearest")
    np.testing.assert_allclose(network.surprise(whitened, shares)[0], expected, rtol=1e-4, atol=1e-5)


def test_no_variance_runs_away() -> None:
    network = synthesis(2)
    last = network.layers[-1]
    assert isinstance(last, torch.nn.Conv2d) and last.bias is not None
    last.bias.add_(1e4)
    assert network(random(1, 3, 7, 9))[1].max() == MOST_LOG_VARIANCE


@pytest.mark.parametrize("dims", [2, 3])
def test_it_learns_what_a_class_looks_like_and_is_surprised_by_another(dims: SpatialDims) -> None:
    network, looks, size = synthesis(dims).train().requires_grad_(True), random(4, 3, seed=5), SIZES[dims]

    def scene(seed: int) -> tuple[Tensor, Tensor]:
        shares = one_hot(random(2, *size, seed=seed).gt(0).long(), 3)
        return torch.einsum("kc,bc...->bk...", looks, shares) + 0.3 * random(2, 4, *size, seed=seed + 1), shares

    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(150):
        descend(optimizer, network.unlikeliness(*scene(2 * step)).mean())
    whitened, shares = scene(-2)
    with torch.no_grad():
        network.eval()
        right, wrong = network.surprise(whitened, shares), network.surprise(whitened, shares[:, [1, 0, 2]])
    assert (wrong > right + 0.5).float().mean() > 0.95
