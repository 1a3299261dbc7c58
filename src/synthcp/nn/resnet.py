"""ResNet trunks (He et al., CVPR 2016) of any depth and width, dilated to any output stride, in 2D and 3D.

Parameters carry torchvision's key names, so its ImageNet weight files load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from torch import Tensor, nn

from synthcp.nn.catalogue import new_trunk
from synthcp.nn.spatial import SpatialDims, batch_norm, conv, max_pool
from synthcp.nn.trunk import IMAGENET, PLAIN, Normalization, OutputStride, Trunk, TrunkShape

Depth = Literal[18, 34, 50, 101]

_BLOCKS: dict[Depth, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_KERNELS = {18: (3, 3), 34: (3, 3), 50: (1, 3, 1), 101: (1, 3, 1)}


@dataclass(frozen=True)
class ResNetConfig:
    """A trunk.

    Attributes:
        in_channels: Channels of the input.
        depth: 18 and 34 use basic blocks, 50 and 101 bottlenecks.
        width: Channels of the first stage (64 in the paper); the others double.
        output_stride: Input size over output size; below 32 the last stages dilate instead of striding.
        normalization: Of the image.
    """

    in_channels: int = 3
    depth: Depth = 18
    width: int = 64
    output_stride: OutputStride = 32
    normalization: Normalization = PLAIN


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, or 1x1, 3x3, 1x1; the stride sits in the first 3x3, as in torchvision.

    Args:
        spatial_dims: 2 or 3.
        kernels: Of the convolutions.
        channels: Of the input, and behind each convolution.
        stride: Of the block.
        dilation: Of the 3x3 convolutions.
    """

    def __init__(
        self, spatial_dims: SpatialDims, kernels: Sequence[int], channels: Sequence[int], stride: int, dilation: int
    ) -> None:
        super().__init__()
        self.names: list[tuple[str, str]] = []
        for index, kernel in enumerate(kernels):
            before, after = channels[index : index + 2]
            step, spread = stride if index == kernels.index(3) else 1, dilation if kernel == 3 else 1
            layer = conv(spatial_dims, before, after, kernel=kernel, stride=step, dilation=spread, bias=False)
            self.names.append((f"conv{index + 1}", f"bn{index + 1}"))
            self.add_module(f"conv{index + 1}", layer)
            self.add_module(f"bn{index + 1}", batch_norm(spatial_dims, after))
        self.downsample = _shortcut(spatial_dims, channels[0], channels[-1], stride)

    def forward(self, features: Tensor) -> Tensor:
        """Transform features (B, channels[0], *s) to (B, channels[-1], *s / stride)."""
        residual = features
        for index, (convolution, norm) in enumerate(self.names):
            residual = residual.relu() if index else residual
            residual = self.get_submodule(norm)(self.get_submodule(convolution)(residual))
        output: Tensor = (residual + self.downsample(features)).relu()
        return output


def _shortcut(spatial_dims: SpatialDims, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    projection = conv(spatial_dims, in_channels, out_channels, kernel=1, stride=stride, bias=False)
    return nn.Sequential(projection, batch_norm(spatial_dims, out_channels))


class ResNet(Trunk):
    """The trunk without its classifier: four stages at strides 4, 8, 16, 32 or less (see output_stride)."""

    left_aside = ("fc.",)
    first_kernel = "conv1.weight"

    def __init__(self, spatial_dims: SpatialDims, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.title = f"ResNet-{config.depth}"
        self.normalization = config.normalization
        expansion = 1 if config.depth < 50 else 4
        self.out_channels = tuple(config.width * 2**stage * expansion for stage in range(4))
        self.conv1 = conv(spatial_dims, config.in_channels, config.width, kernel=7, stride=2, bias=False)
        self.bn1 = batch_norm(spatial_dims, config.width)
        self.maxpool = max_pool(spatial_dims, kernel=3, stride=2, padding=1)
        kernels = _KERNELS[config.depth]
        before, strides, dilation = config.width, [4], 1
        for stage, (count, after) in enumerate(zip(_BLOCKS[config.depth], self.out_channels, strict=True)):
            stride = 1 if stage == 0 or strides[-1] >= config.output_stride else 2
            dilation = dilation * 2 if stage > 0 and stride == 1 else dilation
            strides.append(strides[-1] * stride)
            inner = [config.width * 2**stage] * (len(kernels) - 1)
            blocks = [ResidualBlock(spatial_dims, kernels, (before, *inner, after), stride, dilation)]
            for _ in range(1, count):
                blocks.append(ResidualBlock(spatial_dims, kernels, (after, *inner, after), 1, dilation))
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            before = after
        self.strides = tuple(strides[1:])

    def stages(self, normalized: Tensor) -> list[Tensor]:
        """Return the features of the four stages (shapes: see Trunk)."""
        features = self.maxpool(self.bn1(self.conv1(normalized)).relu())
        stages = []
        for stage in range(1, 5):
            features = self.get_submodule(f"layer{stage}")(features)
            stages.append(features)
        return stages


def resnet(depth: Depth, shape: TrunkShape) -> ResNet:
    """Return a ResNet, by default as wide as the published one."""
    normalization = shape.normalization(IMAGENET)
    config = ResNetConfig(shape.channels, depth, shape.width or 64, shape.output_stride, normalization)
    return ResNet(shape.spatial_dims, config)


def trunk_or_resnet(name: str, depth: Depth, shape: TrunkShape) -> Trunk:
    """Return a trunk by its name, as wide as published, or without one a ResNet to be trained from scratch.

    Args:
        name: Of the trunk; may be empty.
        depth: Of the ResNet.
        shape: Of either; the width is that of the ResNet.
    """
    if name:
        return new_trunk(name, replace(shape, width=0))
    return ResNet(shape.spatial_dims, ResNetConfig(shape.channels, depth, shape.width, shape.output_stride))


resnet18, resnet34, resnet50, resnet101 = (partial(resnet, depth) for depth in _BLOCKS)
