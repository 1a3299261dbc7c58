from __future__ import annotations

import pytest
import torch
from torch import Tensor

from synthcp.nn.spatial import SpatialDims
from synthcp.records import Prediction
from synthcp.rivals.autoencoder import Autoencoder, AutoencoderConfig, ReconstructionError, reconstruction_error


def autoencoder_of(dims: SpatialDims, config: AutoencoderConfig) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(dims, config).eval().requires_grad_(False)


@pytest.mark.parametrize(("dims", "size"), [(2, (17, 30)), (2, (16, 32)), (2, (5, 3)), (3, (7, 9, 10))])
@pytest.mark.parametrize("depth", [1, 3])
def test_any_size_comes_back(dims: SpatialDims, size: tuple[int, ...], depth: int) -> None:
    autoencoder = autoencoder_of(dims, AutoencoderConfig(channels=2, width=4, depth=depth, bottleneck=3))
    reconstruction = autoencoder(torch.rand(2, 2, *size))
    assert reconstruction.shape == (2, 2, *size)
    assert reconstruction.min() >= 0 and reconstruction.max() <= 1


@pytest.mark.parametrize("dims", [2, 3])
def test_everything_passes_through_the_code(dims: SpatialDims) -> None:
    autoencoder = autoencoder_of(dims, AutoencoderConfig(width=4, depth=3, bottleneck=5))
    codes: list[Tensor] = []
    autoencoder.to_code.register_forward_hook(lambda *call: codes.append(call[2]))
    image = torch.rand(1, 3, *[16] * dims)
    first = autoencoder(image)
    assert codes[0].shape == (1, 5, *[2] * dims)
    autoencoder.to_code.register_forward_hook(lambda *call: codes[0])
    assert autoencoder(1 - image).equal(first)  # the code alone decides


@pytest.mark.parametrize("size", [(2, 3), (2, 3, 2)])
def test_the_error_is_the_mean_over_channels(size: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    image, reconstruction = (torch.rand(2, 3, *size, generator=generator) for _ in range(2))
    error = reconstruction_error(image, reconstruction)
    for batch, *pixel in torch.cartesian_prod(*map(torch.arange, error.shape)).tolist():
        gaps = [abs(image[(batch, c, *pixel)] - reconstruction[(batch, c, *pixel)]).item() for c in range(3)]
        assert error[(batch, *pixel)].item() == pytest.approx(sum(gaps) / 3, abs=1e-6)


def test_only_an_anomaly_map_is_given() -> None:
    autoencoder = autoencoder_of(2, AutoencoderConfig(width=4, depth=2, bottleneck=3))
    image = torch.rand(2, 3, 9, 10)
    judged = ReconstructionError(autoencoder)(image, Prediction(torch.zeros(2, 4, 9, 10)))
    assert judged.anomaly_map is not None and judged.error_map is None and judged.synthesis is None
    torch.testing.assert_close(judged.anomaly_map, (image - autoencoder(image)).abs().mean(1))
