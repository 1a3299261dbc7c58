from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from synthcp.nn.catalogue import new_trunk
from synthcp.nn.trunk import TrunkShape
from synthcp.nn.vgg import VGG

INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)  # of torchvision's convolutions
BEHIND_A_POOLING = {5, 10, 19, 28}
FIRST_OF_THEIR_STAGE = {0, 5, 10, 19, 28}


@pytest.fixture(scope="module")
def vgg() -> VGG:
    torch.manual_seed(0)
    trunk = new_trunk("vgg19", TrunkShape(2)).eval().requires_grad_(False)
    assert isinstance(trunk, VGG)
    return trunk


def test_keys_and_widths_are_torchvisions(vgg: VGG) -> None:
    state = vgg.state_dict()
    assert list(state) == [f"features.{index}.{entry}" for index in INDICES for entry in ("weight", "bias")]
    widths = [len(state[f"features.{index}.bias"]) for index in INDICES]
    assert widths == [64, 64, 128, 128, *[256] * 4, *[512] * 8]


def test_it_shows_what_is_pooled_and_compares_by_the_first_relu_of_each_stage(vgg: VGG) -> None:
    image = torch.rand(1, 3, 32, 64)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    features = (image - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    expected, pooled = [], []
    for index in INDICES:
        features = F.max_pool2d(features, 2) if index in BEHIND_A_POOLING else features
        kernel, bias = vgg.get_parameter(f"features.{index}.weight"), vgg.get_parameter(f"features.{index}.bias")
        features = F.conv2d(features, kernel, bias, padding=1).relu()
        if index in FIRST_OF_THEIR_STAGE:
            expected.append(features)
        if index + 3 in BEHIND_A_POOLING or index == 34:
            pooled.append(F.max_pool2d(features, 2))
    torch.testing.assert_close(vgg.compared(image), expected)
    torch.testing.assert_close(vgg(image), pooled)
