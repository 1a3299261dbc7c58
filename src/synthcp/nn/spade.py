"""SPADE (Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization", CVPR 2019), from its text."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from synthcp.nn.spatial import SpatialDims, batch_norm, conv, resize_nearest


class Spade(nn.Module):
    """Normalise without parameters, then scale and shift every pixel by what its label asks for (eq. 1 of SPADE)."""

    def __init__(self, spatial_dims: SpatialDims, channels: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.norm = batch_norm(spatial_dims, channels, affine=False)
        self.shared = conv(spatial_dims, classes, hidden)
        self.gamma = conv(spatial_dims, hidden, channels)
        self.beta = conv(spatial_dims, hidden, channels)

    def forward(self, features: Tensor, layout: Tensor) -> Tensor:
        """Modulate features (B, C, *s) by a one-hot layout (B, L, *S)."""
        embedding = self.shared(resize_nearest(layout, features.shape[2:])).relu()
        normalized = self.norm(features)
        modulated: Tensor = normalized + normalized * self.gamma(embedding) + self.beta(embedding)
        return modulated


class SpadeBlock(nn.Module):
    """Residual block whose normalisations are SPADEs; its convolutions are spectrally normalised."""

    def __init__(
        self, spatial_dims: SpatialDims, in_channels: int, out_channels: int, classes: int, hidden: int
    ) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)
        self.spade1 = Spade(spatial_dims, in_channels, classes, hidden)
        self.conv1 = spectral_norm(conv(spatial_dims, in_channels, middle))
        self.spade2 = Spade(spatial_dims, middle, classes, hidden)
        self.conv2 = spectral_norm(conv(spatial_dims, middle, out_channels))
        self.has_shortcut = in_channels != out_channels
        if self.has_shortcut:
            self.spade_shortcut = Spade(spatial_dims, in_channels, classes, hidden)
            self.conv_shortcut = spectral_norm(conv(spatial_dims, in_channels, out_channels, kernel=1, bias=False))

    def forward(self, features: Tensor, layout: Tensor) -> Tensor:
        """Transform features (B, in_channels, *s) under a one-hot layout (B, L, *S)."""
        residual: Tensor = self.conv1(F.leaky_relu(self.spade1(features, layout), 0.2))
        residual = self.conv2(F.leaky_relu(self.spade2(residual, layout), 0.2))
        if self.has_shortcut:
            features = self.conv_shortcut(self.spade_shortcut(features, layout))
        return features + residual
