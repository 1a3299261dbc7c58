"""The multi-scale patch discriminator of pix2pixHD (Wang et al., CVPR 2018), as SPADE uses it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from synthcp.errors import ShapeError
from synthcp.nn.labels import one_hot
from synthcp.nn.spatial import SpatialDims, average_pool, conv, instance_norm


@dataclass(frozen=True)
class DiscriminatorConfig:
    """SPADE's D is width 64, four layers, two scales.

    Attributes:
        classes: L.
        in_channels: Channels of the image.
        width: Channels of the first layer (ndf); they double up to eight times.
        layers: Convolutions before the last; all but the last halve the size.
        scales: Number of copies, each at half the size of the one before.
    """

    classes: int
    in_channels: int = 3
    width: int = 64
    layers: int = 4
    scales: int = 2


class PatchDiscriminator(nn.Module):
    """Judges every patch of an image beside its layout."""

    def __init__(self, spatial_dims: SpatialDims, config: DiscriminatorConfig) -> None:
        super().__init__()
        channels = [config.classes + config.in_channels]
        channels += [config.width * 2 ** min(layer, 3) for layer in range(config.layers)]
        self.layers = nn.ModuleList()
        for layer, (before, after) in enumerate(zip(channels[:-1], channels[1:], strict=True)):
            stride = 2 if layer < config.layers - 1 else 1
            first = layer == 0
            convolution = conv(spatial_dims, before, after, kernel=4, stride=stride, bias=first)
            if first:
                self.layers.append(convolution)
            else:
                self.layers.append(nn.Sequential(spectral_norm(convolution), instance_norm(spatial_dims, after)))
        self.output = conv(spatial_dims, channels[-1], 1, kernel=4)

    def forward(self, pair: Tensor) -> list[Tensor]:
        """Return the features of every layer and, last, the output (B, 1, *s) on a pair (B, L + C, *S)."""
        features = [pair]
        for layer in self.layers:
            features.append(F.leaky_relu(layer(_padded(features[-1])), 0.2))
        return [*features[1:], self.output(_padded(features[-1]))]


def _padded(features: Tensor) -> Tensor:
    """Add one pixel at the far end of every axis: with it a kernel of 4 padded by 1 covers sizes 1, 2, 3, ..."""
    return F.pad(features, (0, 1) * (features.ndim - 2))


class MultiScaleDiscriminator(nn.Module):
    """D: the same judge at several scales of the pair (label map, image)."""

    def __init__(self, spatial_dims: SpatialDims, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.scales = nn.ModuleList(PatchDiscriminator(spatial_dims, config) for _ in range(config.scales))
        # below it the features of the last scale are a single pixel, which has no norm
        self.smallest_side = 2 ** (config.layers + config.scales - 2) + 1
        self.halve = average_pool(spatial_dims, kernel=3, stride=2, padding=1)

    def forward(self, label_map: Tensor, image: Tensor) -> list[list[Tensor]]:
        """Judge an image (B, C, *S) in [0, 1] as a picture of a label map (B, *S).

        Returns:
            For each scale, the features of every layer and, last, the output; larger = more likely real.

        Raises:
            ShapeError: The image is too small for the scales.
        """
        size = tuple(image.shape[2:])
        if max(size) < self.smallest_side:
            raise ShapeError(
                f"an image of size {size} leaves D nothing to judge at {len(self.scales)} scales; "
                f"use images of at least {self.smallest_side} pixels or fewer scales"
            )
        pair = torch.cat([one_hot(label_map, self.config.classes), image * 2 - 1], dim=1)
        judgements = []
        for scale in self.scales:
            judgements.append(scale(pair))
            pair = self.halve(pair)
        return judgements
