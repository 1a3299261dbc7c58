from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from synthcp.errors import WeightsError
from synthcp.nn.spatial import SpatialDims
from synthcp.segmentation.ahnet import AHNet, AHNetConfig
from synthcp.system.files import load_tensors

SMALL = AHNetConfig(classes=3, in_channels=2, blocks=(1, 1, 1, 1), pyramid=1)
EVEN: dict[SpatialDims, tuple[int, ...]] = {2: (64, 32), 3: (32, 64, 32)}


def small(dims: SpatialDims) -> AHNet:
    torch.manual_seed(0)
    return AHNet(dims, SMALL).eval().requires_grad_(False)


@pytest.fixture(params=[2, 3])
def dims(request: pytest.FixtureRequest) -> SpatialDims:
    return 3 if request.param == 3 else 2


def test_the_layers_are_the_stages_and_f_m() -> None:
    network, image = small(3), torch.rand(1, 2, 32, 64, 32)
    layers = network.features(image)
    assert [layer.shape[1] for layer in layers] == [256, 512, 1024, 2048, 124 + 1]
    for layer, stride in zip(layers, (4, 8, 16, 32, 2), strict=True):
        assert tuple(layer.shape[2:]) == (32 // stride, 64 // stride, 32 // stride)
    torch.testing.assert_close(layers[1], network.network.layer2(layers[0]))
    assert layers[-1].min() >= 0  # behind the last rectifier


def test_any_volume_is_seen_with_its_border_repeated() -> None:
    network, image = small(3), torch.rand(1, 2, 9, 40, 13)
    prediction = network(image)
    whole = network(F.pad(image, (0, 19, 0, 24, 0, 23), mode="replicate"))
    assert prediction.logits.equal(whole.logits[:, :, :9, :40, :13])


@pytest.mark.parametrize(
    ("pyramid", "upsampling", "size", "expected"),
    [
        (0, "transpose", (8, 9, 10), (64, 32, 32)),
        (2, "transpose", (32, 33, 32), (32, 64, 32)),
        (2, "transpose", (32, 32, 33), (32, 32, 64)),
        (4, "transpose", (129, 64, 64), (256, 128, 64)),
        (4, "linear", (129, 64, 64), (160, 128, 64)),
        (1, "linear", (20, 90), (32, 96)),
        (1, "linear", (20, 30), (64, 32)),
    ],
)
def test_the_size_comes_out_even(
    pyramid: int, upsampling: str, size: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    dims: SpatialDims = 2 if len(size) == 2 else 3
    config = AHNetConfig(3, blocks=(1, 1, 1, 1), pyramid=pyramid, upsampling=upsampling)  # type: ignore[arg-type]
    with torch.device("meta"):
        network = AHNet(dims, config)
        image = torch.rand(1, 1, *size)
    assert network.padded_size(size) == expected
    network.mean, network.std = network.mean.to("meta"), network.std.to("meta")
    assert network(image).logits.shape == (1, 3, *size)


def test_weights_with_monais_names_are_read_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = AHNet(2, SMALL).network
    save_file(theirs.state_dict(), tmp_path / "ahnet.safetensors")
    network, image = small(2), torch.rand(1, 2, 64, 32)
    network.load_weights(load_tensors(tmp_path / "ahnet.safetensors")[0])
    torch.testing.assert_close(network(image).logits, theirs.eval()(network.normalize(image)))


def test_weights_that_do_not_fit_are_refused(fails: Callable[..., AbstractContextManager[None]]) -> None:
    weights = small(2).network.state_dict()
    with fails("conv1.weight", "AH-Net", error=WeightsError):
        small(3).load_weights({key: value for key, value in weights.items() if key != "conv1.weight"})
