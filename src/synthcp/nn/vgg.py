"""VGG-16 and VGG-19 (Simonyan and Zisserman, ICLR 2015) without their classifier, of any width, in 2D and 3D.

Parameters carry torchvision's key names, so its ImageNet weight files load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from synthcp.nn.spatial import SpatialDims, batch_norm, conv, max_pool
from synthcp.nn.trunk import Trunk, TrunkShape

Depth = Literal[16, 19]

_CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


@dataclass(frozen=True)
class VGGConfig:
    """A trunk.

    Attributes:
        in_channels: Channels of the input.
        depth: 16 or 19, the classifier's three layers included.
        width: Channels of the first stage (64 in the paper); the others double, up to eight times that.
        normalized: Whether every convolution is batch-normalised, without which a VGG hardly learns from scratch.
        shown: What the trunk shows of each stage: its pooled end, or the first ReLU (relu1_1, ..., relu5_1).
    """

    in_channels: int = 3
    depth: Depth = 16
    width: int = 64
    normalized: bool = False
    shown: Literal["pooled", "first"] = "pooled"


class VGG(Trunk):
    """Five stages of 3x3 convolutions, each pooled to half its size (rounded up), as far as something is shown.

    What is shown lies at strides 2, 4, 8, 16, 32, or before its pooling at 1, 2, 4, 8, 16.
    """

    def __init__(self, spatial_dims: SpatialDims, config: VGGConfig) -> None:
        super().__init__()
        self.config = config
        self.title = f"VGG-{config.depth}"
        self.out_channels = tuple(config.width * factor for factor in (1, 2, 4, 8, 8))
        self.strides = (2, 4, 8, 16, 32) if config.shown == "pooled" else (1, 2, 4, 8, 16)
        layers: list[nn.Module] = []
        self.shown: list[int] = []
        in_channels = config.in_channels
        for convolutions, width in zip(_CONVOLUTIONS[config.depth], self.out_channels, strict=True):
            first = len(layers) + (2 if config.normalized else 1)  # its ReLU
            for _ in range(convolutions):
                norm = [batch_norm(spatial_dims, width)] if config.normalized else []
                layers += [conv(spatial_dims, in_channels, width), *norm, nn.ReLU()]
                in_channels = width
            layers.append(max_pool(spatial_dims, kernel=2, stride=2, padding=0, ceil_mode=True))
            self.shown.append(first if config.shown == "first" else len(layers) - 1)
        self.features = nn.Sequential(*layers[: self.shown[-1] + 1])
        self.left_aside = ("classifier.", *(f"features.{index}." for index in range(len(self.features), len(layers))))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return what is shown of the five stages (shapes: see Trunk)."""
        stages, features = [], image
        for index, layer in enumerate(self.features):
            features = layer(features)
            if index in self.shown:
                stages.append(features)
        return stages


def vgg(shape: TrunkShape) -> VGG:
    """Return a VGG-16."""
    return VGG(shape.spatial_dims, VGGConfig(shape.in_channels, width=shape.width))


class VGG19(VGG):
    """What SPADE's perceptual loss compares: the first ReLU of each stage of VGG-19, for images of three channels."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__(2, VGGConfig(depth=19, shown="first"))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the five feature maps of an image (B, 3, H, W) in [0, 1]."""
        return super().forward((image - self.mean) / self.std)
