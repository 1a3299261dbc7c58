"""Synthesis of features: what a frozen trunk is expected to see where a label map says so.

Section 5 of the paper argues that a generator models P(x | y), under which an image of something unknown is unlikely.
In place of pixels, whose likelihood a GAN does not give, this one models P(phi(x) | y) of a frozen trunk phi: at every
cell a Gaussian for each whitened feature, whose mean and variance a small network draws from the label map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from synthcp.comparison.smoothing import gaussian_smooth
from synthcp.nn.spatial import SpatialDims, conv, conv_unit

KEPT = 48
"""Whitened features, the directions in which the trunk's vary most."""
LEAST_VARIANCE = 1e-4
"""Of a direction, as a share of the largest; one that varies less in training must not outweigh the others later."""
DILATIONS = (1, 1, 2, 4, 8)
LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE = -6.0, 6.0
SMOOTHING = 1.4
"""Standard deviation of the Gaussian by which the surprise is smoothed, in cells."""


class Whitening(nn.Module):
    """Turns the features of every cell into a few of mean zero, variance one and no correlation, by training images.

    Args:
        channels: Of the features.
    """

    mean: Tensor
    directions: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("directions", torch.zeros(min(KEPT, channels), channels))

    @torch.no_grad()
    def fit(self, features: Sequence[Tensor]) -> None:
        """Find the directions in features of some images, each of shape (C, *s), by principal components."""
        rows = torch.cat([image.double().flatten(1) for image in features], dim=1)
        mean = rows.mean(dim=1)
        values, vectors = torch.linalg.eigh(torch.cov(rows))
        kept = len(self.directions)
        scales = values[-kept:].clamp_min(LEAST_VARIANCE * float(values[-1]) + 1e-12).rsqrt()
        self.mean.copy_(mean)
        self.directions.copy_((vectors[:, -kept:] * scales).T)

    def forward(self, features: Tensor) -> Tensor:
        """Whiten features (B, C, *s) to (B, K, *s)."""
        centred = features.float() - self.mean.view(-1, *[1] * (features.ndim - 2))
        return torch.einsum("kc,bc...->bk...", self.directions, centred)


class FeatureSynthesis(nn.Module):
    """G of features, label map -> mean and log-variance of every whitened feature.

    Args:
        spatial_dims: 2 or 3.
        classes: L.
        kept: Whitened features.
        hidden: Channels of its layers.
    """

    def __init__(self, spatial_dims: SpatialDims, classes: int, kept: int, hidden: int) -> None:
        super().__init__()
        layers = [
            conv_unit(spatial_dims, hidden if number else classes, hidden, dilation=dilation)
            for number, dilation in enumerate(DILATIONS)
        ]
        self.layers = nn.Sequential(*layers, conv(spatial_dims, hidden, 2 * kept, kernel=1))

    def forward(self, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the features of label maps, given as the share of each class in every cell, shape (B, L, *s).

        Returns:
            Means and log-variances, each of shape (B, K, *s).
        """
        mean, log_variance = self.layers(shares).float().chunk(2, dim=1)
        return mean, log_variance.clamp(LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE)

    def unlikeliness(self, whitened: Tensor, shares: Tensor) -> Tensor:
        """Return minus the log-likelihood of features, per feature and but for a constant, shape (B, *s).

        Args:
            whitened: Of the image, shape (B, K, *s).
            shares: Of the label map, see forward.
        """
        mean, log_variance = self(shares)
        terms: Tensor = (whitened - mean).square() * (-log_variance).exp() + log_variance
        return terms.mean(dim=1) / 2

    def surprise(self, whitened: Tensor, shares: Tensor) -> Tensor:
        """Return the unlikeliness of every cell, smoothed, shape (B, *s); larger where x fits y less."""
        return gaussian_smooth(self.unlikeliness(whitened, shares), SMOOTHING)
