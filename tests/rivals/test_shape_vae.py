from __future__ import annotations

import pytest
import torch

from synthcp.nn.spatial import SpatialDims
from synthcp.rivals.shape_vae import PUBLISHED, ShapeVae, ShapeVaeConfig

SMALL: dict[SpatialDims, ShapeVaeConfig] = {
    2: ShapeVaeConfig(classes=3, grid=(16, 24), widths=(4, 6, 8), latent=5, convolutions=2),
    3: ShapeVaeConfig(classes=3, grid=(8, 12, 16), widths=(4, 6, 8), latent=5),
}


def vae_of(dims: SpatialDims) -> ShapeVae:
    torch.manual_seed(0)
    return ShapeVae(dims, SMALL[dims]).requires_grad_(False)


def masks(dims: SpatialDims) -> torch.Tensor:
    return torch.rand(2, 3, *SMALL[dims].grid, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dims", [2, 3])
def test_it_returns_probabilities_and_a_code(dims: SpatialDims) -> None:
    probabilities, mean, deviation = vae_of(dims).eval()(masks(dims))
    assert probabilities.shape == (2, 3, *SMALL[dims].grid) and probabilities.min() >= 0
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2, *SMALL[dims].grid))
    assert mean.shape == deviation.shape == (2, 5)
    assert deviation.min() == 0 and deviation.max() > 0 and mean.min() < 0  # a ReLU is on the deviation alone


@pytest.mark.parametrize("dims", [2, 3])
def test_in_use_the_mean_code_alone_decides(dims: SpatialDims) -> None:
    vae = vae_of(dims).eval()
    probabilities, mean, _ = vae(masks(dims))
    assert probabilities.equal(vae.decode(mean)) and probabilities.equal(vae(masks(dims))[0])


@pytest.mark.parametrize("dims", [2, 3])
def test_in_training_the_code_is_drawn(dims: SpatialDims) -> None:
    vae = vae_of(dims).train()
    torch.manual_seed(3)
    probabilities, mean, deviation = vae(masks(dims))
    torch.manual_seed(3)
    torch.testing.assert_close(probabilities, vae.decode(mean + 0.2 * deviation * torch.randn(2, 5)))


def test_the_published_network_has_the_published_size() -> None:
    with torch.device("meta"):
        vae = ShapeVae(3, PUBLISHED)
    count = sum(parameter.numel() for parameter in vae.parameters())
    assert PUBLISHED.smallest == (4, 4, 4) and vae.from_code.out_features == 16_384
    assert count == pytest.approx(59.5e6, rel=0.02)


@pytest.mark.parametrize("grid", [(8, 12, 18), (4, 4, 4), (8, 12)])
def test_a_grid_that_does_not_fit_is_refused(grid: tuple[int, ...], fails) -> None:
    with fails(str(grid)):
        ShapeVae(3, ShapeVaeConfig(grid=grid, widths=(4, 6, 8)))
