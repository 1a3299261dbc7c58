"""ResNet trunks (He et al., CVPR 2016) of any depth and width, dilated to any output stride, in 2D and 3D.

Parameters carry torchvision's key names, so its ImageNet weight files load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from synthcp.errors import WeightsError
from synthcp.nn.spatial import SpatialDims, batch_norm, conv, max_pool

Depth = Literal[18, 34, 50, 101]
OutputStride = Literal[4, 8, 16, 32]

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


@dataclass(frozen=True)
class ResNetConfig:
    """A trunk.

    Attributes:
        in_channels: Channels of the input.
        depth: 18 and 34 use basic blocks, 50 and 101 bottlenecks.
        width: Channels of the first stage (64 in the paper); the others double.
        output_stride: Input size over output size; below 32 the last stages dilate instead of striding.
    """

    in_channels: int = 3
    depth: Depth = 18
    width: int = 64
    output_stride: OutputStride = 32


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    expansion = 1

    def __init__(self, spatial_dims: SpatialDims, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = conv(spatial_dims, in_channels, width, stride=stride, dilation=dilation, bias=False)
        self.bn1 = batch_norm(spatial_dims, width)
        self.conv2 = conv(spatial_dims, width, width, dilation=dilation, bias=False)
        self.bn2 = batch_norm(spatial_dims, width)
        self.downsample = _shortcut(spatial_dims, in_channels, width, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Transform features (B, in_channels, *s) to (B, width, *s / stride)."""
        residual = self.bn1(self.conv1(features)).relu()
        residual = self.bn2(self.conv2(residual))
        output: Tensor = (residual + self.downsample(features)).relu()
        return output


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a shortcut; the stride sits in the 3x3, as in torchvision."""

    expansion = 4

    def __init__(self, spatial_dims: SpatialDims, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = conv(spatial_dims, in_channels, width, kernel=1, bias=False)
        self.bn1 = batch_norm(spatial_dims, width)
        self.conv2 = conv(spatial_dims, width, width, stride=stride, dilation=dilation, bias=False)
        self.bn2 = batch_norm(spatial_dims, width)
        self.conv3 = conv(spatial_dims, width, out_channels, kernel=1, bias=False)
        self.bn3 = batch_norm(spatial_dims, out_channels)
        self.downsample = _shortcut(spatial_dims, in_channels, out_channels, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Transform features (B, in_channels, *s) to (B, 4 width, *s / stride)."""
        residual = self.bn1(self.conv1(features)).relu()
        residual = self.bn2(self.conv2(residual)).relu()
        residual = self.bn3(self.conv3(residual))
        output: Tensor = (residual + self.downsample(features)).relu()
        return output


def _shortcut(spatial_dims: SpatialDims, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    projection = conv(spatial_dims, in_channels, out_channels, kernel=1, stride=stride, bias=False)
    return nn.Sequential(projection, batch_norm(spatial_dims, out_channels))


class ResNet(nn.Module):
    """The trunk without its classifier."""

    def __init__(self, spatial_dims: SpatialDims, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = conv(spatial_dims, config.in_channels, config.width, kernel=7, stride=2, bias=False)
        self.bn1 = batch_norm(spatial_dims, config.width)
        self.maxpool = max_pool(spatial_dims, kernel=3, stride=2, padding=1)
        block = BasicBlock if config.depth < 50 else Bottleneck
        self.out_channels = self.stage_channels(config)
        in_channels, stride_so_far, dilation = config.width, 4, 1
        for stage, count in enumerate(_BLOCKS[config.depth]):
            stride = 1 if stage == 0 or stride_so_far >= config.output_stride else 2
            dilation = dilation * 2 if stage > 0 and stride == 1 else dilation
            stride_so_far *= stride
            blocks = [
                block(
                    spatial_dims,
                    in_channels if index == 0 else self.out_channels[stage],
                    config.width * 2**stage,
                    stride if index == 0 else 1,
                    dilation,
                )
                for index in range(count)
            ]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            in_channels = self.out_channels[stage]

    @staticmethod
    def stage_channels(config: ResNetConfig) -> tuple[int, ...]:
        """Return the number of channels of each of the four stages."""
        expansion = BasicBlock.expansion if config.depth < 50 else Bottleneck.expansion
        return tuple(config.width * 2**stage * expansion for stage in range(4))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of the four stages.

        Args:
            image: shape (B, in_channels, *S).

        Returns:
            Four maps (B, out_channels[i], *s), at strides 4, 8, 16, 32 or less (see output_stride).
        """
        features = self.maxpool(self.bn1(self.conv1(image)).relu())
        stages = []
        for stage in range(1, 5):
            features = self.get_submodule(f"layer{stage}")(features)
            stages.append(features)
        return stages

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load a state dict with torchvision's key names; its classifier (fc) is left aside.

        A first convolution with more input channels than the file's keeps zero weights for the additional ones, so
        that the trunk starts as the file's network, blind to them.

        Raises:
            WeightsError: A key is missing, unknown, or of another shape.
        """
        trunk = {key: value for key, value in weights.items() if not key.startswith("fc.")}
        missing = sorted(set(self.state_dict()) - set(trunk) - {k for k in self.state_dict() if "num_batches" in k})
        unknown = sorted(set(trunk) - set(self.state_dict()))
        if missing or unknown:
            raise WeightsError(
                f"weights do not fit ResNet-{self.config.depth}: missing {missing[:3]}, unknown {unknown[:3]}; "
                "use a state dict with torchvision's key names and the same depth"
            )
        trunk["conv1.weight"] = _widen(trunk["conv1.weight"], self.config.in_channels)
        try:
            self.load_state_dict(trunk, strict=False)
        except RuntimeError as error:
            detail = str(error).splitlines()[-1].strip()
            raise WeightsError(
                f"weights do not fit ResNet-{self.config.depth} of width {self.config.width}: {detail}; "
                "use a file made for this depth and width"
            ) from error


def _widen(kernel: Tensor, in_channels: int) -> Tensor:
    additional = in_channels - kernel.shape[1]
    if additional <= 0:
        return kernel
    return torch.cat([kernel, kernel.new_zeros(kernel.shape[0], additional, *kernel.shape[2:])], dim=1)
