from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.nn.squeezenet import SqueezeNet
from synthcp.nn.trunk import TrunkShape

FIRES = {3: (96, 16, 64), 4: (128, 16, 64), 5: (128, 32, 128), 7: (256, 32, 128), 8: (256, 48, 192)}
FIRES |= {9: (384, 48, 192), 10: (384, 64, 256), 12: (512, 64, 256)}
"""Channels of each Fire module in torchvision's places: before, squeezed, and of each expansion."""
AHEAD = 17
"""Where the unpadded network has the middle of its first deepest pixel: 3 + 2 x 1 + 4 x 1 + 8 x 1."""


def published() -> dict[str, Tensor]:
    torch.manual_seed(0)
    kernels = {"features.0": (96, 3, 7), "classifier.1": (1000, 512, 1)}
    for index, (before, squeezed, expanded) in FIRES.items():
        name = f"features.{index}"
        kernels |= {f"{name}.squeeze": (squeezed, before, 1), f"{name}.expand1x1": (expanded, squeezed, 1)}
        kernels |= {f"{name}.expand3x3": (expanded, squeezed, 3)}
    weights = dict[str, Tensor]()
    for name, (after, before, side) in kernels.items():
        weights[f"{name}.weight"] = torch.randn(after, before, side, side) * (2 / before) ** 0.5 / side
        weights[f"{name}.bias"] = torch.randn(after) / 10
    return weights


def reference(weights: Mapping[str, Tensor], x: Tensor, padded: bool) -> list[Tensor]:
    """The feature maps from the definition, unpadded as published, or padded as a trunk."""
    x = F.conv2d(x, weights["features.0.weight"], weights["features.0.bias"], 2, 3 if padded else 0).relu()
    maps = [x]
    for index in range(2, 13):
        if index in (2, 6, 11):
            x = F.max_pool2d(x, 3, 2, 1) if padded else F.max_pool2d(x, 3, 2, ceil_mode=True)
            continue
        name = f"features.{index}"
        layers = {
            part: (weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"])
            for part in ("squeeze", "expand1x1", "expand3x3")
        }
        y = F.conv2d(x, *layers["squeeze"]).relu()
        x = torch.cat([F.conv2d(y, *layers["expand1x1"]), F.conv2d(y, *layers["expand3x3"], padding=1)], 1).relu()
        if index in (5, 10, 12):
            maps.append(x)
    return maps


@pytest.fixture(scope="module")
def trunk() -> SqueezeNet:
    trunk = SqueezeNet(TrunkShape(2))
    trunk.load_weights(published())
    return trunk.eval().requires_grad_(False)


def normalized(image: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (image - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def test_it_is_the_published_network_with_its_borders_padded(trunk: SqueezeNet) -> None:
    image = torch.rand(2, 3, 45, 70)
    expected = reference(published(), normalized(image), padded=True)
    assert all(features.std() > 0.05 for features in expected)
    torch.testing.assert_close(trunk(image), expected, atol=1e-4, rtol=1e-3)


def test_away_from_the_border_it_is_the_published_network_to_the_letter(trunk: SqueezeNet) -> None:
    image = torch.rand(1, 3, 320, 352)
    seen = F.pad(normalized(image), (AHEAD, 0, AHEAD, 0))
    ours, theirs = trunk(image)[-1], reference(published(), seen, padded=False)[-1]
    torch.testing.assert_close(ours[..., 6:14, 6:14], theirs[..., 6:14, 6:14], atol=1e-4, rtol=1e-3)


def test_parameters_are_those_of_the_published_network(trunk: SqueezeNet) -> None:
    """1,248,424 in all, of which the classifier has 513 x 1000."""
    assert sum(parameter.numel() for parameter in trunk.parameters()) + 513 * 1000 == 1_248_424
