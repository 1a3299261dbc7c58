from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.nn.resnet import Depth, ResNet, ResNetConfig
from synthcp.nn.trunk import OutputStride

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def randomize_statistics(network: nn.Module) -> None:
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d):
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_mean.normal_(std=0.3)
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.3)


BLOCKS = {18: (2, 2, 2, 2), 101: (3, 4, 23, 3)}


def reference(
    depth: Depth, weights: Mapping[str, Tensor], image: Tensor, strides: Sequence[int], dilations: Sequence[int]
) -> list[Tensor]:
    """The stages of a ResNet from its definition, the stride of a block in its first 3x3."""

    def unit(x: Tensor, convolution: str, norm: str, stride: int = 1, dilation: int = 1) -> Tensor:
        kernel = weights[f"{convolution}.weight"]
        x = F.conv2d(x, kernel, None, stride, dilation * (kernel.shape[-1] // 2), dilation)
        scale, shift, mean, variance = (weights[f"{norm}.{key}"] for key in NORM[:4])
        return F.batch_norm(x, mean, variance, scale, shift)

    x = F.max_pool2d(unit(image, "conv1", "bn1", 2).relu(), 3, 2, 1)
    stages = []
    for stage, (count, stride, dilation) in enumerate(zip(BLOCKS[depth], strides, dilations, strict=True), start=1):
        for block in range(count):
            name, step = f"layer{stage}.{block}", stride if block == 0 else 1
            if depth == 18:
                y = unit(x, f"{name}.conv1", f"{name}.bn1", step, dilation).relu()
                y = unit(y, f"{name}.conv2", f"{name}.bn2", 1, dilation)
            else:
                y = unit(x, f"{name}.conv1", f"{name}.bn1").relu()
                y = unit(y, f"{name}.conv2", f"{name}.bn2", step, dilation).relu()
                y = unit(y, f"{name}.conv3", f"{name}.bn3")
            if f"{name}.downsample.0.weight" in weights:
                x = unit(x, f"{name}.downsample.0", f"{name}.downsample.1", step)
            x = (x + y).relu()
        stages.append(x)
    return stages


@pytest.mark.parametrize("depth", [18, 101])
@pytest.mark.parametrize(
    ("output_stride", "strides", "dilations"), [(32, (1, 2, 2, 2), (1, 1, 1, 1)), (8, (1, 2, 1, 1), (1, 1, 2, 4))]
)
@torch.no_grad()
def test_it_is_the_network_of_its_paper_dilated_in_place_of_strides(
    depth: Depth, output_stride: OutputStride, strides: tuple[int, ...], dilations: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    plain, image = ResNet(2, ResNetConfig(depth=depth, width=4)), torch.randn(2, 3, 45, 70)
    randomize_statistics(plain)
    network = ResNet(2, ResNetConfig(depth=depth, width=4, output_stride=output_stride)).eval()
    network.load_weights(plain.state_dict())
    stages, expected = network.stages(image), reference(depth, plain.state_dict(), image, strides, dilations)
    assert all(features.std() > 0.1 for features in expected)
    torch.testing.assert_close(stages, expected, atol=1e-4, rtol=1e-3)


def torchvision_keys(blocks: tuple[int, ...], convolutions: int) -> set[str]:
    """The key names of torchvision's ResNets without the classifier."""
    keys = {"conv1.weight", *(f"bn1.{entry}" for entry in NORM)}
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            for number in range(1, convolutions + 1):
                keys |= {f"{name}.conv{number}.weight", *(f"{name}.bn{number}.{entry}" for entry in NORM)}
            if block == 0 and (stage > 1 or convolutions == 3):
                keys |= {f"{name}.downsample.0.weight", *(f"{name}.downsample.1.{entry}" for entry in NORM)}
    return keys


@pytest.mark.parametrize(
    ("depth", "blocks", "convolutions", "parameters"),
    [
        (18, (2, 2, 2, 2), 2, 11_176_512),
        (34, (3, 4, 6, 3), 2, 21_284_672),
        (50, (3, 4, 6, 3), 3, 23_508_032),
        (101, (3, 4, 23, 3), 3, 42_500_160),
    ],
)
def test_keys_and_parameters_are_torchvisions(
    depth: Depth, blocks: tuple[int, ...], convolutions: int, parameters: int
) -> None:
    with torch.device("meta"):
        network = ResNet(2, ResNetConfig(depth=depth))
    assert set(network.state_dict()) == torchvision_keys(blocks, convolutions)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("output_stride", [4, 8, 16, 32])
@pytest.mark.parametrize("depth", [18, 50])
def test_output_stride(output_stride: OutputStride, depth: Depth) -> None:
    config = ResNetConfig(in_channels=2, depth=depth, width=4, output_stride=output_stride)
    with torch.device("meta"):
        network = ResNet(3, config)
        stages = network.stages(torch.empty(1, 2, 33, 64, 47))
    assert network.strides == tuple(min(stride, output_stride) for stride in (4, 8, 16, 32))
    sizes = [tuple(-(-side // stride) for side in (33, 64, 47)) for stride in network.strides]
    assert [tuple(features.shape[2:]) for features in stages] == sizes


def test_additional_channels_start_unseen() -> None:
    torch.manual_seed(0)
    source, wide = ResNet(2, ResNetConfig(width=4)), ResNet(2, ResNetConfig(in_channels=5, width=4))
    randomize_statistics(source)
    wide.load_weights({**source.state_dict(), "fc.weight": torch.zeros(1000, 32), "fc.bias": torch.zeros(1000)})
    image, labels = torch.rand(1, 3, 32, 40), torch.rand(1, 2, 32, 40)
    seen = wide.eval().stages(torch.cat([image, labels], dim=1))
    for features, reference in zip(seen, source.eval().stages(image), strict=True):
        torch.testing.assert_close(features, reference)
