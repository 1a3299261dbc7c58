"""SqueezeNet 1.0 (Iandola et al., 2016) without its classifier, of any width, in 2D and 3D.

Parameters carry torchvision's key names, so its ImageNet weight files load. The published network leaves its first
convolution and its poolings unpadded; ours pads them, so that every feature map covers the image. Away from the border
it is the published one, shown the image 17 pixels further on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from synthcp.nn.spatial import DensePool, SpatialDims, conv, max_pool
from synthcp.nn.trunk import IMAGENET, Trunk, TrunkShape, scaled

_STEM = 96
_FIRES: tuple[tuple[tuple[int, int], ...], ...] = (
    ((16, 64), (16, 64), (32, 128)),
    ((32, 128), (48, 192), (48, 192), (64, 256)),
    ((64, 256),),
)
"""Of each module behind the three poolings: channels after squeezing, and of each of both expansions."""


class Fire(nn.Module):
    """A 1x1 convolution that squeezes, then a 1x1 and a 3x3 side by side that expand."""

    def __init__(
        self, spatial_dims: SpatialDims, in_channels: int, squeezed: int, expanded: int, *, dilation: int
    ) -> None:
        super().__init__()
        self.squeeze = conv(spatial_dims, in_channels, squeezed, kernel=1)
        self.expand1x1 = conv(spatial_dims, squeezed, expanded, kernel=1)
        self.expand3x3 = conv(spatial_dims, squeezed, expanded, dilation=dilation)

    def forward(self, features: Tensor) -> Tensor:
        """Transform features (B, in_channels, *s) to (B, 2 expanded, *s)."""
        squeezed = self.squeeze(features).relu()
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1).relu()


class SqueezeNet(Trunk):
    """A strided 7x7 convolution and eight Fire modules in three groups, each pooled first: strides 2, 4, 8, 16."""

    title = "SqueezeNet 1.0"
    left_aside = ("classifier.",)
    first_kernel = "features.0.weight"

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        dims, self.normalization = shape.spatial_dims, shape.normalization(IMAGENET)
        (before,) = scaled([_STEM], shape.width)
        layers: list[nn.Module] = [conv(dims, shape.channels, before, kernel=7, stride=2), nn.ReLU()]
        self.shown, channels, strides, dilation = [1], [before], [2], 1
        for group in _FIRES:
            dense = strides[-1] >= shape.output_stride
            layers.append(DensePool(3, dilation) if dense else max_pool(dims, kernel=3, stride=2, padding=1))
            strides.append(strides[-1] * (1 if dense else 2))
            dilation *= 2 if dense else 1
            for sizes in group:
                _, squeezed, expanded = scaled([_STEM, *sizes], shape.width)
                layers.append(Fire(dims, before, squeezed, expanded, dilation=dilation))
                before = 2 * expanded
            self.shown.append(len(layers) - 1)
            channels.append(before)
        self.features = nn.Sequential(*layers)
        self.out_channels, self.strides = tuple(channels), tuple(strides)

    def stages(self, normalized: Tensor) -> list[Tensor]:
        """Return the first convolution and the end of each group of Fire modules (shapes: see Trunk)."""
        maps, features = [], normalized
        for index, layer in enumerate(self.features):
            features = layer(features)
            if index in self.shown:
                maps.append(features)
        return maps


def squeezenet1_0(shape: TrunkShape) -> SqueezeNet:
    """Return SqueezeNet 1.0."""
    return SqueezeNet(shape)
