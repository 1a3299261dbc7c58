"""The autoencoder rival (Baur et al., MICCAI BrainLes 2018): what it cannot reconstruct, it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.nn.spatial import SpatialDims, batch_norm, conv, resize
from synthcp.records import Detection, Prediction


@dataclass(frozen=True)
class AutoencoderConfig:
    """A spatial autoencoder: its code is a small map, so that images of any size fit.

    Attributes:
        channels: Of the image.
        width: Channels after the first halving; they double with each further one.
        depth: How often the sides are halved.
        bottleneck: Channels of the code; it holds bottleneck / (channels * 2 ** (depth * axes)) of the image's numbers.
    """

    channels: int = 3
    width: int = 32
    depth: int = 4
    bottleneck: int = 64


class Autoencoder(nn.Module):
    """Strided convolutions down to the code, enlargements and convolutions back; no path around the code."""

    def __init__(self, spatial_dims: SpatialDims, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * 2**level for level in range(config.depth)]
        self.encoder = nn.ModuleList(
            _block(spatial_dims, narrow, wide, stride=2)
            for narrow, wide in zip([config.channels, *widths], widths, strict=False)
        )
        self.to_code = conv(spatial_dims, widths[-1], config.bottleneck, kernel=1)
        self.from_code = conv(spatial_dims, config.bottleneck, widths[-1], kernel=1)
        self.decoder = nn.ModuleList(
            _block(spatial_dims, wide, narrow, stride=1)
            for wide, narrow in zip(widths[::-1], [*widths[-2::-1], config.width], strict=True)
        )
        self.to_image = conv(spatial_dims, config.width, config.channels)

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruct an image, shape (B, C, *S) of any size, in [0, 1]; the result has its shape and range."""
        features, sizes = 2 * image - 1, []
        for block in self.encoder:
            sizes.append(features.shape[2:])
            features = block(features)
        features = self.from_code(self.to_code(features))
        for block, size in zip(self.decoder, reversed(sizes), strict=True):
            features = block(resize(features, size))
        return torch.sigmoid(self.to_image(features).float())


def _block(spatial_dims: SpatialDims, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    convolution = conv(spatial_dims, in_channels, out_channels, stride=stride, bias=False)
    return nn.Sequential(convolution, batch_norm(spatial_dims, out_channels), nn.LeakyReLU(0.2))


def reconstruction_error(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the l1 distance of every pixel, averaged over the channels; from (B, C, *S) twice to (B, *S)."""
    return F.l1_loss(reconstruction.float(), image.float(), reduction="none").mean(dim=1)


@dataclass(frozen=True)
class ReconstructionError:
    """Scores every pixel by the l1 error of its reconstruction, in [0, 1]; needs no segmenter, says nothing of errors.

    Attributes:
        autoencoder: Trained on in-distribution images.
    """

    autoencoder: Autoencoder

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge an image (shapes: see Detector)."""
        return Detection(anomaly_map=reconstruction_error(image, self.autoencoder(image)))
