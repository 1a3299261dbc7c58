"""VGG-16 and VGG-19 (Simonyan and Zisserman, ICLR 2015) without their classifier, of any width, in 2D and 3D.

Parameters carry torchvision's key names, so its ImageNet weight files load.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor, nn

from synthcp.nn.spatial import DensePool, SpatialDims, batch_norm, conv, max_pool
from synthcp.nn.trunk import IMAGENET, PLAIN, Normalization, OutputStride, Trunk, TrunkShape

Depth = Literal[16, 19]

_CONVOLUTIONS: dict[Depth, tuple[int, ...]] = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


@dataclass(frozen=True)
class VGGConfig:
    """A trunk.

    Attributes:
        in_channels: Channels of the input.
        depth: 16 or 19, the classifier's three layers included.
        width: Channels of the first stage (64 in the paper); the others double, up to eight times that.
        normalized: Whether every convolution is batch-normalised, without which a VGG hardly learns from scratch.
        output_stride: Of the last stage; below 32 the last ones dilate and pool without a stride.
        normalization: Of the image.
    """

    in_channels: int = 3
    depth: Depth = 16
    width: int = 64
    normalized: bool = False
    output_stride: OutputStride = 32
    normalization: Normalization = PLAIN


class VGG(Trunk):
    """Five stages of 3x3 convolutions, each pooled to half its size (rounded up): strides 2, 4, 8, 16, 32 or less."""

    left_aside = ("classifier.",)
    first_kernel = "features.0.weight"

    def __init__(self, spatial_dims: SpatialDims, config: VGGConfig) -> None:
        super().__init__()
        self.config = config
        self.title = f"VGG-{config.depth}"
        self.normalization = config.normalization
        self.out_channels = tuple(config.width * factor for factor in (1, 2, 4, 8, 8))
        layers: list[nn.Module] = []
        self.first_relus: list[int] = []
        self.pools: list[int] = []
        before, strides, dilation = config.in_channels, [1], 1
        for convolutions, width in zip(_CONVOLUTIONS[config.depth], self.out_channels, strict=True):
            self.first_relus.append(len(layers) + (2 if config.normalized else 1))
            for _ in range(convolutions):
                norm = [batch_norm(spatial_dims, width)] if config.normalized else []
                layers += [conv(spatial_dims, before, width, dilation=dilation), *norm, nn.ReLU()]
                before = width
            self.pools.append(len(layers))
            if strides[-1] < config.output_stride:
                strides.append(2 * strides[-1])
                layers.append(max_pool(spatial_dims, kernel=2, stride=2, padding=0, ceil_mode=True))
            else:
                strides.append(strides[-1])
                layers.append(DensePool(2, dilation))
                dilation *= 2
        self.strides = tuple(strides[1:])
        self.features = nn.Sequential(*layers)

    def stages(self, normalized: Tensor) -> list[Tensor]:
        """Return the pooled end of each of the five stages (shapes: see Trunk)."""
        return self._shown(normalized, self.pools)

    def compared(self, image: Tensor) -> list[Tensor]:
        """Return relu1_1, ..., relu5_1, by which SPADE compares images with VGG-19, at strides 1, 2, 4, 8, 16."""
        return self._shown(self.normalize(image), self.first_relus)

    def _shown(self, features: Tensor, shown: list[int]) -> list[Tensor]:
        maps = []
        for index, layer in enumerate(self.features):
            if index > shown[-1]:
                break
            features = layer(features)
            if index in shown:
                maps.append(features)
        return maps


def vgg(depth: Depth, shape: TrunkShape) -> VGG:
    """Return a VGG, by default as wide as the published one."""
    normalization = shape.normalization(IMAGENET)
    config = VGGConfig(
        shape.channels, depth, shape.width or 64, output_stride=shape.output_stride, normalization=normalization
    )
    return VGG(shape.spatial_dims, config)


vgg16, vgg19 = (partial(vgg, depth) for depth in _CONVOLUTIONS)
