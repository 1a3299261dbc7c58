"""timm is not installed here, and so is played by a network with its manners."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from synthcp.errors import InputError, MissingExtraError, ShapeError, WeightsError
from synthcp.nn.catalogue import new_trunk
from synthcp.nn.spatial import SpatialDims
from synthcp.nn.trunk import OutputStride, Trunk, TrunkShape


class Played(nn.Module):
    """Four strided convolutions, the others in blocks that features_only calls stages_0, ... for stages.0, ..."""

    def __init__(self, channels: int, shown: int = 4) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(channels, 4, 3, 2, 1)
        for stage in range(shown - 1):
            self.add_module(f"stages_{stage}", nn.Conv2d(4 + 2 * stage, 6 + 2 * stage, 3, 2, 1))
        channels, strides = [4 + 2 * stage for stage in range(shown)], [2 ** (stage + 1) for stage in range(shown)]
        self.feature_info = SimpleNamespace(channels=lambda: channels, reduction=lambda: strides)
        self.pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1), "first_conv": "conv_stem"}

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [image]
        for layer in self.children():
            maps.append(layer(maps[-1]))
        return maps[1:]


class Timm:
    @staticmethod
    def create_model(name: str, features_only: bool, in_chans: int, **options: Any) -> Played:
        assert features_only
        if name == "short":
            return Played(in_chans, shown=3)
        if name != "played":
            raise RuntimeError(f"Unknown model\n({name})")
        if options:
            raise NotImplementedError(f"no {options}")
        return Played(in_chans)


@pytest.fixture(autouse=True)
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", Timm)


def opened(name: str = "played", dims: SpatialDims = 2, output_stride: OutputStride = 32, **shape: int) -> Trunk:
    return new_trunk(f"timm:{name}", TrunkShape(dims, output_stride=output_stride, **shape))


def test_it_shows_its_maps_of_an_image_normalised_as_timm_says() -> None:
    trunk, image = opened(), torch.rand(2, 3, 21, 34)
    network = trunk.network
    assert isinstance(network, Played)
    mean, std = (torch.tensor(network.pretrained_cfg[entry]).view(3, 1, 1) for entry in ("mean", "std"))
    torch.testing.assert_close(trunk(image), network((image - mean) / std))
    assert (trunk.out_channels, trunk.strides) == ((4, 6, 8, 10), (2, 4, 8, 16))


def test_weights_of_the_whole_network_load_and_start_blind_to_further_channels() -> None:
    trunk, wide, image = opened(), opened(beside=2), torch.rand(1, 3, 16, 20)
    weights = {key.removeprefix("network."): value for key, value in trunk.state_dict().items()}
    whole = {key.replace("stages_", "stages."): value for key, value in weights.items()}
    wide.load_weights(whole | {"head.fc.weight": torch.zeros(1000, 6)})
    torch.testing.assert_close(wide(image, torch.rand(1, 2, 16, 20)), trunk(image))
    other = opened()
    other.load_weights(trunk.state_dict())
    torch.testing.assert_close(other(image), trunk(image))
    whole.pop("stages.0.bias")
    with pytest.raises(WeightsError, match=r"weights do not fit timm:played: missing \['network.stages_0.bias'\]; use"):
        other.load_weights(whole)


def test_what_it_cannot_be_is_refused_in_one_line() -> None:
    with pytest.raises(ShapeError, match="timm:played sees images only; for volumes choose a trunk of our own"):
        opened(dims=3)
    with pytest.raises(ShapeError, match="timm:played has a width of its own, not 8; leave the width out"):
        opened(width=8)
    with pytest.raises(InputError, match="timm:short shows 3 feature maps; choose one that shows 4"):
        opened("short")
    told = r"timm:x at output stride 32 is refused by timm: Unknown model \(x\); choose a network that shows"
    with pytest.raises(InputError, match=told):
        opened("x")
    with pytest.raises(InputError, match="timm:played at output stride 8 is refused by timm: no {'output_stride': 8}"):
        opened(output_stride=8)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"timm is not installed; it comes with: .*synthcp\[zoo\]"):
        opened()
