from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from synthcp.nn.spatial import SpatialDims
from synthcp.rivals.dropout import MonteCarloDropout, dropouts_of, dropping
from synthcp.segmentation.unet import UNet, UNetConfig

SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (48, 40), 3: (24, 48, 32)}


def tiny(dims: SpatialDims) -> UNet:
    torch.manual_seed(0)
    return UNet(dims, UNetConfig(3, 2, (4, 6, 8, 10))).eval().requires_grad_(False)


@pytest.fixture(params=[2, 3])
def dims(request: pytest.FixtureRequest) -> SpatialDims:
    return 3 if request.param == 3 else 2


def test_the_layers_are_the_stages_and_f_m(dims: SpatialDims) -> None:
    network, image = tiny(dims), torch.rand(1, 2, *SIZES[dims])
    layers = network.features(image)
    assert [layer.shape[1] for layer in layers] == [4, 6, 8, 10, 4 + 4]
    for layer, stride in zip(layers, (2, 4, 8, 8, 2), strict=True):
        assert tuple(layer.shape[2:]) == tuple(side // stride for side in SIZES[dims])
    torch.testing.assert_close(network.classify(layers[-1]), network(image).logits)


def test_a_small_image_is_seen_with_its_border_repeated() -> None:
    network, image = tiny(3), torch.rand(1, 2, 7, 41, 19)
    prediction = network(image)
    whole = network(F.pad(image, (0, 5, 0, 7, 0, 17), mode="replicate"))
    assert prediction.logits.equal(whole.logits[:, :, :7, :41, :19])
    assert [tuple(layer.shape[2:]) for layer in prediction.layers[-2:]] == [(1, 5, 2), (4, 20, 10)]


def test_every_convolution_but_the_last_drops_its_share(dims: SpatialDims) -> None:
    network, image = tiny(dims), torch.rand(1, 2, *SIZES[dims])
    layers = dropouts_of(network)
    assert len(layers) == 2 * 4 + 3 + 2 and {layer.p for layer in layers} == {0.1}
    with dropping(network):
        assert not torch.allclose(network(image).logits, network(image).logits, atol=1e-3)
    MonteCarloDropout(network)


def test_the_default_has_1_2_million_parameters() -> None:
    with torch.device("meta"):
        network = UNet(3, UNetConfig(classes=3))
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 1) == 1.2
