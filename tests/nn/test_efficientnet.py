from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.nn.efficientnet import EfficientNetLite0, same_padded
from synthcp.nn.trunk import OutputStride, TrunkShape

BLOCKS = [(1, 3, 1, 1, 16), *[(6, 3, s, 1, 24) for s in (2, 1)], *[(6, 5, s, 1, 40) for s in (2, 1)]]
BLOCKS += [*[(6, 3, s, 1, 80) for s in (2, 1, 1)], *[(6, 5, 1, 1, 112)] * 3]
BLOCKS += [*[(6, 5, s, 1, 192) for s in (2, 1, 1, 1)], (6, 3, 1, 1, 320)]
"""Expansion, kernel, stride, dilation and channels of each block, from the paper's table."""
DILATED = [*BLOCKS[:5], (6, 3, 1, 1, 80), *[(6, 3, 1, 2, 80)] * 2, *[(6, 5, 1, 2, 112)] * 3, (6, 5, 1, 2, 192)]
DILATED += [*[(6, 5, 1, 4, 192)] * 3, (6, 3, 1, 4, 320)]
"""The same at output stride 8: what strode does not, and all behind it looks twice as far."""
SHOWN = (0, 2, 4, 10, 15)
OUTPUT_STRIDES: dict[OutputStride, list[tuple[int, int, int, int, int]]] = {32: BLOCKS, 8: DILATED}


def same_conv(x: Tensor, kernel: Tensor, stride: int, dilation: int = 1) -> Tensor:
    """TensorFlow's "same": out = ceil(in / stride), the odd pixel of the padding behind."""
    spread, groups = dilation * (kernel.shape[-1] - 1) + 1, len(kernel) if kernel.shape[1] == 1 else 1
    total = [max(0, (-(-side // stride) - 1) * stride + spread - side) for side in x.shape[2:]]
    top, left = total[0] // 2, total[1] // 2
    x = F.pad(x, (left, total[1] - left, top, total[0] - top))
    return F.conv2d(x, kernel, None, stride, 0, dilation, groups)


def reference(
    weights: Mapping[str, Tensor], image: Tensor, blocks: list[tuple[int, int, int, int, int]]
) -> list[Tensor]:
    """The feature maps from the definition of the network."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance, scale, shift = (
            weights[f"{name}.{entry}"].view(-1, 1, 1) for entry in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-3).sqrt() * scale + shift

    x = norm(same_conv((255 * image - 127) / 128, weights["_conv_stem.weight"], 2), "_bn0").clamp(0, 6)
    maps = []
    for index, (expansion, _, stride, dilation, _) in enumerate(blocks):
        name, before = f"_blocks.{index}", x
        if expansion > 1:
            x = norm(same_conv(x, weights[f"{name}._expand_conv.weight"], 1), f"{name}._bn0").clamp(0, 6)
        x = same_conv(x, weights[f"{name}._depthwise_conv.weight"], stride, dilation)
        x = same_conv(norm(x, f"{name}._bn1").clamp(0, 6), weights[f"{name}._project_conv.weight"], 1)
        x = norm(x, f"{name}._bn2")
        x = x + before if stride == 1 and before.shape == x.shape and index not in (5, 11) else x
        if index in SHOWN:
            maps.append(x)
    return maps


def published(seed: int = 0) -> dict[str, Tensor]:
    """A random state dict under the published keys, head included, without batch counters."""
    torch.manual_seed(seed)
    weights = {"_conv_stem.weight": torch.randn(32, 3, 3, 3) / 4, "_conv_head.weight": torch.zeros(1280, 320, 1, 1)}
    norms, before = {"_bn0": 32, "_bn1": 1280}, 32
    for index, (expansion, kernel, _, _, after) in enumerate(BLOCKS):
        name, wide = f"_blocks.{index}", before * expansion
        if expansion > 1:
            weights[f"{name}._expand_conv.weight"] = torch.randn(wide, before, 1, 1) / before**0.5
            norms[f"{name}._bn0"] = wide
        weights[f"{name}._depthwise_conv.weight"] = torch.randn(wide, 1, kernel, kernel) / kernel
        weights[f"{name}._project_conv.weight"] = torch.randn(after, wide, 1, 1) / wide**0.5
        norms |= {f"{name}._bn1": wide, f"{name}._bn2": after}
        before = after
    for name, channels in norms.items():
        weights |= {f"{name}.weight": torch.rand(channels) + 0.5, f"{name}.bias": torch.randn(channels) / 2 + 1}
        weights |= {
            f"{name}.running_mean": torch.randn(channels) / 4,
            f"{name}.running_var": torch.rand(channels) + 0.5,
        }
    return weights | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


def loaded(weights: Mapping[str, Tensor], output_stride: OutputStride = 32) -> EfficientNetLite0:
    trunk = EfficientNetLite0(TrunkShape(2, output_stride=output_stride))
    trunk.load_weights(weights)
    return trunk.eval().requires_grad_(False)


@pytest.mark.parametrize("output_stride", OUTPUT_STRIDES)
@pytest.mark.parametrize("size", [(46, 75), (64, 97)])
def test_it_is_the_published_network(size: tuple[int, int], output_stride: OutputStride) -> None:
    weights, image = published(), torch.rand(2, 3, *size)
    expected = reference(weights, image, OUTPUT_STRIDES[output_stride])
    assert all(features.std() > 0.1 for features in expected)
    torch.testing.assert_close(loaded(weights, output_stride)(image), expected, atol=2e-3, rtol=1e-3)


def test_parameters_are_those_of_the_published_network() -> None:
    """4,652,008 in all, of which the head has 320 x 1280, its norm 2 x 1280 and the classifier 1281 x 1000."""
    parameters = sum(parameter.numel() for parameter in EfficientNetLite0(TrunkShape(2)).parameters())
    assert parameters + 320 * 1280 + 2 * 1280 + 1281 * 1000 == 4_652_008


def timm_name(key: str) -> str:
    """The key of timm's tf_efficientnet_lite0."""
    layer, _, entry = key.rpartition(".")
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    if layer in outside:
        return f"{outside[layer]}.{entry}"
    _, index, name = layer.split(".")
    stage = sum(int(index) >= first for first in (1, 3, 5, 8, 11, 15))
    block = int(index) - (0, 1, 3, 5, 8, 11, 15)[stage]
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    expanding = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    expanding |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    return f"blocks.{stage}.{block}.{(expanding if stage else plain)[name]}.{entry}"


def test_timms_weights_load_in_any_order() -> None:
    weights, image = published(), torch.rand(1, 3, 40, 33)
    theirs = [(timm_name(key), value) for key, value in weights.items()]
    random.Random(0).shuffle(theirs)
    for ours, expected in zip(loaded(dict(theirs))(image), loaded(weights)(image), strict=True):
        assert ours.equal(expected)


def test_on_a_cpu_it_runs_in_float32_whatever_is_around_it() -> None:
    trunk, image = loaded(published()), torch.rand(1, 3, 40, 33)
    with torch.autocast("cpu", torch.bfloat16):
        inside = trunk(image)
    assert all(ours.equal(expected) for ours, expected in zip(inside, trunk(image), strict=True))


@pytest.mark.parametrize(("side", "stride", "margins"), [(6, 2, (0, 1)), (7, 2, (1, 1)), (7, 1, (1, 1))])
def test_the_odd_pixel_of_the_padding_lies_behind(side: int, stride: int, margins: tuple[int, int]) -> None:
    convolution = torch.nn.Conv2d(1, 1, (3, 1), stride=(stride, 1))
    padded = same_padded(torch.ones(1, 1, side, 2), convolution)
    column = [0.0] * margins[0] + [1.0] * side + [0.0] * margins[1]
    assert padded[0, 0, :, 0].tolist() == column and padded.shape[3] == 2
