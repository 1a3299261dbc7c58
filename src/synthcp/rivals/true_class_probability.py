"""TCP (Corbiere et al., NeurIPS 2019): a network predicts the probability that M gives to the true class.

Where M errs, its maximum softmax probability may be high; that of the true class is not. In use nobody knows the true
class, so its probability is learnt, from what M sees of the image.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from synthcp.errors import InputError
from synthcp.nn.spatial import SpatialDims, batch_norm, conv, dims_of, resize
from synthcp.records import Detection, Prediction
from synthcp.segmentation.base import Segmenter


@dataclass(frozen=True)
class ConfidenceConfig:
    """The head of a confidence network.

    Attributes:
        fused: Channels into which each of M's feature maps is fused.
        widths: Channels of the 3x3 convolutions before the verdict; the defaults are those of the authors of TCP.

    Raises:
        InputError: There is no width.
    """

    fused: int = 64
    widths: tuple[int, ...] = (400, 120, 64, 64)

    def __post_init__(self) -> None:
        if not self.widths:
            raise InputError("a confidence head of no widths has no convolution; give one at least, such as (64, 64)")


class ConfidenceHead(nn.Module):
    """M's feature maps, fused and brought to the size of the largest, then 3x3 convolutions to one number a pixel.

    The last of them works at the size of the image: errors lie along borders, which are thinner than M's features.

    Args:
        spatial_dims: 2 or 3.
        channels: Of each feature map.
        config: Of the layers.
    """

    def __init__(self, spatial_dims: SpatialDims, channels: Sequence[int], config: ConfidenceConfig) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(_block(spatial_dims, count, config.fused, kernel=1) for count in channels)
        widths = (len(channels) * config.fused, *config.widths)
        pairs = zip(widths, config.widths, strict=False)
        *convolutions, last = (_block(spatial_dims, *pair, kernel=3) for pair in pairs)
        self.convolutions = nn.Sequential(*convolutions)
        self.verdict = nn.Sequential(last, conv(spatial_dims, widths[-1], 1))

    def forward(self, layers: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Return the confidence at a size, shape (B, *size), in [0, 1], from feature maps (B, K, *s) of any sizes."""
        largest = max((layer.shape[2:] for layer in layers), key=math.prod)
        fused = [resize(fusion(layer), largest) for fusion, layer in zip(self.fusions, layers, strict=True)]
        log_odds: Tensor = self.verdict(resize(self.convolutions(torch.cat(fused, dim=1)), size))
        return log_odds[:, 0].float().sigmoid()


def _block(spatial_dims: SpatialDims, in_channels: int, out_channels: int, *, kernel: int) -> nn.Module:
    convolution = conv(spatial_dims, in_channels, out_channels, kernel=kernel, bias=False)
    return nn.Sequential(convolution, batch_norm(spatial_dims, out_channels), nn.ReLU())


class ConfidenceNetwork(nn.Module):
    """A head on an encoder of its own, which starts as a copy of M and may then be fine-tuned; M stays as it is.

    Args:
        segmenter: M, which is copied.
        image: One that M can be shown, shape (1, C, *S), in [0, 1]: by it M's feature maps are known.
        config: Of the head.

    Raises:
        InputError: M shows no feature maps.
    """

    def __init__(self, segmenter: Segmenter, image: Tensor, config: ConfidenceConfig) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(segmenter).eval().requires_grad_(True)
        with torch.no_grad():
            layers = self.encoder.predict("", image.to(self.encoder.mean.device)).layers
        if not layers:
            name = type(segmenter).__name__
            raise InputError(f"{name} shows no feature maps, from which TCP is learnt; choose another detector")
        self.head = ConfidenceHead(dims_of(image), [layer.shape[1] for layer in layers], config)

    def forward(self, image: Tensor) -> Tensor:
        """Return the confidence of an image (B, C, *S) in [0, 1] at its size, shape (B, *S), in [0, 1]."""
        confidence: Tensor = self.head(self.encoder.predict("", image).layers, image.shape[2:])
        return confidence

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the head; the encoder stays as in use, with M's statistics and without dropout."""
        super().train(mode)
        self.encoder.eval()
        return self


@dataclass(frozen=True)
class TrueClassProbability:
    """Scores every pixel by 1 minus the predicted probability of its true class, in [0, 1]; says nothing of anomalies.

    Attributes:
        network: Trained on images that M was trained on, and what M says of them.
    """

    network: ConfidenceNetwork

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector); of it only the size at which M saw the image is used."""
        confidence = self.network(resize(image, prediction.seen_size, antialias=True))
        return Detection(error_map=1 - resize(confidence[:, None], image.shape[2:])[:, 0])
