"""SPADE with an image encoder (Park et al., CVPR 2019, section 3): a synthesis takes the style of the image."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn.utils.parametrizations import spectral_norm

from synthcp.nn.labels import one_hot
from synthcp.nn.spatial import SpatialDims, conv, instance_norm, resize
from synthcp.synthesis.base import GeneratorShape
from synthcp.synthesis.spade import SpadeConfig, SpadePainter

GRID = 4
"""Pixels per axis at which the encoder ends and from which the synthesis starts, as SPADE's for 256 x 256 pixels."""


@dataclass(frozen=True)
class StyleEncoderConfig:
    """SPADE's encoder is width 64, six halvings, a style of 256 numbers.

    Attributes:
        width: Channels of the first layer; they double up to eight times.
        halvings: Number of layers; the image is brought to GRID * 2 ** halvings pixels per axis.
        latent: Numbers in a style z.
    """

    width: int = 64
    halvings: int = 6
    latent: int = 256


class StyleEncoder(nn.Module):
    """Halve an image down to the grid, and read the normal distribution of its style z from there."""

    def __init__(self, spatial_dims: SpatialDims, in_channels: int, config: StyleEncoderConfig) -> None:
        super().__init__()
        self.size = (GRID * 2**config.halvings,) * spatial_dims
        channels = [in_channels, *(config.width * min(2**layer, 8) for layer in range(config.halvings))]
        self.layers = nn.ModuleList(
            nn.Sequential(
                spectral_norm(conv(spatial_dims, before, after, stride=2, bias=False)),
                instance_norm(spatial_dims, after),
            )
            for before, after in itertools.pairwise(channels)
        )
        numbers = channels[-1] * GRID**spatial_dims
        self.to_mean, self.to_log_variance = nn.Linear(numbers, config.latent), nn.Linear(numbers, config.latent)

    def forward(self, image: Tensor) -> Normal:
        """Return the distribution of z, shape (B, latent), of images (B, C, *S) in [0, 1]."""
        features = resize(image, self.size, antialias=True) * 2 - 1
        for layer in self.layers:
            features = F.leaky_relu(layer(features), 0.2)
        features = features.flatten(1)
        mean, log_variance = self.to_mean(features).float(), self.to_log_variance(features).float()
        # unvalidated: a training that diverges is told by its losses
        return Normal(mean, (log_variance / 2).exp(), validate_args=False)


class StyledSpadeGenerator(SpadePainter):
    """SPADE that starts from a style of the image instead of the coarse label map: its mean in use."""

    def __init__(
        self, spatial_dims: SpatialDims, config: SpadeConfig, style: StyleEncoderConfig, patch: tuple[int, ...] = ()
    ) -> None:
        start = nn.Linear(style.latent, config.channels[0] * GRID**spatial_dims)
        super().__init__(spatial_dims, config, start, patch)
        self.encoder = StyleEncoder(spatial_dims, config.out_channels, style)

    def forward(self, label_map: Tensor, image: Tensor) -> Tensor:
        """Draw x_hat (B, C, *S) in [0, 1] from a label map (B, *S) in the style of an image (shapes: see Generator)."""
        return self._drawn(label_map, self.encoder(image).mean)

    def rehearse(self, label_map: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Draw in a style drawn at random, and say how far its distribution lies from the standard normal one.

        Returns:
            x_hat, and the Kullback-Leibler divergence, summed over the numbers of a style, mean over the images.
        """
        style: Normal = self.encoder(image)
        prior = Normal(torch.zeros_like(style.mean), torch.ones_like(style.mean))
        divergence = kl_divergence(style, prior).sum(dim=1).mean()
        return self._drawn(label_map, style.rsample()), divergence

    def _drawn(self, label_map: Tensor, style: Tensor) -> Tensor:
        grid = (GRID,) * (label_map.ndim - 1)
        start = self.start(style).view(len(style), self.config.channels[0], *grid)
        return self.paint(start, one_hot(label_map, self.config.classes))


def styled(shape: GeneratorShape) -> StyledSpadeGenerator:
    """Return SPADE, and an encoder that halves the image as often as SPADE doubles its size."""
    style = StyleEncoderConfig(shape.width, len(shape.multipliers) - 1, latent=4 * shape.width)
    return StyledSpadeGenerator(shape.spatial_dims, SpadeConfig.of(shape), style, shape.patch)
