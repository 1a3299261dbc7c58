"""U-Net (Ronneberger et al., MICCAI 2015) of residual units, as MONAI builds it: the light M of volumes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synthcp.nn.padding import multiple, padded
from synthcp.nn.spatial import SpatialDims
from synthcp.segmentation.base import Segmenter, SegmenterShape
from synthcp.segmentation.input_size import InputSize
from synthcp.system.extras import import_extra

SMALLEST_SIDE = 3
"""Of the deepest stage, as many pixels as the kernels have; below that bfloat16 fails in volumes (see VolumeConv)."""


@dataclass(frozen=True)
class UNetConfig:
    """The defaults are light: 1.2 million parameters in 3D.

    Attributes:
        classes: L.
        in_channels: Channels of the image.
        widths: Channels of the stages of the encoder, at strides 2, 4, 8, ..., the last one at that of its neighbour.
        units: Convolutions of each residual unit.
        dropout: Share of the activations of every convolution but the last that is dropped.
    """

    classes: int
    in_channels: int = 1
    widths: tuple[int, ...] = (16, 32, 64, 128)
    units: int = 2
    dropout: float = 0.1


class UNet(Segmenter):
    """Residual stages down, as many up, with instance norm, so that a batch may be one volume.

    The feature maps are the stages of the encoder and f_M, the first stage beside what came up to it, at stride 2. The
    image is padded by its border to what can be halved often enough.

    Raises:
        MissingExtraError: MONAI is not installed.
    """

    def __init__(self, spatial_dims: SpatialDims, config: UNetConfig, input_size: InputSize | None = None) -> None:
        super().__init__(spatial_dims, input_size=input_size)
        self.config = config
        self.stride = 2 ** (len(config.widths) - 1)
        self.network = import_extra("monai", "medical").networks.nets.UNet(
            spatial_dims,
            config.in_channels,
            config.classes,
            config.widths,
            [2] * (len(config.widths) - 1),
            num_res_units=config.units,
            dropout=config.dropout,
        )

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, and the feature maps from the stage at stride 2 to f_M."""
        size = [multiple(max(side, SMALLEST_SIDE * self.stride), of=self.stride) for side in image.shape[2:]]
        logits, *layers = padded(self._maps, image, size)
        return logits, layers

    def classify(self, features: Tensor) -> Tensor:
        """Classify f_M: logits (B, L, *S) of features (B, K, *s) at half that size."""
        logits: Tensor = self.network.model[2](features)
        return logits

    def _maps(self, image: Tensor) -> list[Tensor]:
        """The logits and the feature maps of an image that can be halved often enough."""
        stages: list[Tensor] = []
        features = _joined(self.network.model, image, stages)
        return [self.classify(features), *stages, features]


def unet(shape: SegmenterShape) -> UNet:
    """Return a U-Net of four stages."""
    widths = (2 * shape.width, 4 * shape.width, 8 * shape.width, 16 * shape.width)
    return UNet(shape.spatial_dims, UNetConfig(shape.classes, shape.channels, widths), shape.input_size)


def _joined(level: nn.Module, below: Tensor, stages: list[Tensor]) -> Tensor:
    """Go down one level of MONAI's nested U-Net, and return its stage beside what comes up from the levels beneath it.

    Args:
        level: What leads down, what is skipped (the levels beneath), what leads up.
        below: What the level is given.
        stages: To which its stage is added, and those beneath.
    """
    assert isinstance(level, nn.Sequential)
    stages.append(level[0](below))
    stage, inner = stages[-1], level[1].get_submodule("submodule")
    if not isinstance(inner, nn.Sequential) or len(inner) != 3:  # the deepest stage leads nowhere else
        stages.append(inner(stage))
        return torch.cat([stage, stages[-1]], dim=1)
    return torch.cat([stage, inner[2](_joined(inner, stage, stages))], dim=1)
