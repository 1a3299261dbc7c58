from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from synthcp.nn.vgg import VGG19

INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)  # of torchvision's convolutions up to relu5_1
BEHIND_A_POOLING = {5, 10, 19, 28}
FIRST_OF_THEIR_STAGE = {0, 5, 10, 19, 28}


@pytest.fixture(scope="module")
def vgg() -> VGG19:
    torch.manual_seed(0)
    return VGG19().eval().requires_grad_(False)


def test_keys_and_widths_are_torchvisions(vgg: VGG19) -> None:
    state = vgg.state_dict()
    assert list(state) == [f"features.{index}.{entry}" for index in INDICES for entry in ("weight", "bias")]
    widths = [len(state[f"features.{index}.bias"]) for index in INDICES]
    assert widths == [64, 64, 128, 128, *[256] * 4, *[512] * 5]


def test_taps_are_the_first_relu_of_each_stage(vgg: VGG19) -> None:
    image = torch.rand(1, 3, 32, 48)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    features = (image - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    expected = []
    for index in INDICES:
        features = F.max_pool2d(features, 2) if index in BEHIND_A_POOLING else features
        kernel, bias = vgg.get_parameter(f"features.{index}.weight"), vgg.get_parameter(f"features.{index}.bias")
        features = F.conv2d(features, kernel, bias, padding=1).relu()
        if index in FIRST_OF_THEIR_STAGE:
            expected.append(features)
    for features, reference in zip(vgg(image), expected, strict=True):
        torch.testing.assert_close(features, reference)


def test_deeper_layers_of_the_file_are_left_aside(vgg: VGG19) -> None:
    other = VGG19()
    other.load_weights({**vgg.state_dict(), "features.30.weight": torch.zeros(1), "classifier.0.bias": torch.zeros(1)})
    assert all(value.equal(vgg.state_dict()[key]) for key, value in other.state_dict().items())
