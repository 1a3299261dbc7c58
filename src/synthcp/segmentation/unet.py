"""U-Net (Ronneberger et al., MICCAI 2015), as MONAI's BasicUNet builds it: the light M of volumes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from synthcp.extras import import_extra
from synthcp.nn.padding import padded
from synthcp.nn.spatial import SpatialDims
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.input_size import InputSize

SMALLEST_SIDE = 48
"""Four halvings leave three pixels of it, as many as the kernels have; below that bfloat16 fails (see VolumeConv)."""


@dataclass(frozen=True)
class UNetConfig:
    """The defaults are light: 0.36 million parameters in 3D.

    Attributes:
        classes: L.
        in_channels: Channels of the image.
        widths: Channels of the five stages of the encoder, at strides 1, 2, 4, 8 and 16, and of f_M.
        dropout: Share of the activations of every convolution but the last that is dropped.
        mean: Per image channel; one number serves all.
        std: Per image channel; one number serves all.
    """

    classes: int
    in_channels: int = 1
    widths: tuple[int, int, int, int, int, int] = (8, 8, 16, 32, 64, 8)
    dropout: float = 0.1
    mean: tuple[float, ...] = (0.45,)
    std: tuple[float, ...] = (0.225,)


class UNet(Segmenter):
    """Five stages down, four up, and a 1x1 classifier; with instance norm, so that a batch may be one volume.

    The feature maps are the stages at strides 2, 4, 8 and 16 and f_M, at the full size. Sides need not be multiples
    of 16: what a halving leaves over is filled up on the way back; an image smaller than 48 is padded by its border.

    Raises:
        MissingExtraError: MONAI is not installed.
    """

    def __init__(self, spatial_dims: SpatialDims, config: UNetConfig, input_size: InputSize | None = None) -> None:
        super().__init__(spatial_dims, config.mean, config.std, input_size)
        self.config = config
        self.network = import_extra("monai", "medical").networks.nets.BasicUNet(
            spatial_dims, config.in_channels, config.classes, config.widths, dropout=config.dropout
        )

    def look(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, and the feature maps from the stage at stride 2 to f_M."""
        size = [max(side, SMALLEST_SIDE) for side in image.shape[2:]]
        logits, *layers = padded(self._maps, image, size)
        return logits, layers

    def classify(self, features: Tensor) -> Tensor:
        """Classify f_M: logits (B, L, *s) of features (B, K, *s)."""
        logits: Tensor = self.network.final_conv(features)
        return logits

    def _maps(self, image: Tensor) -> list[Tensor]:
        """The logits and the feature maps of an image that is large enough."""
        stages: list[Tensor] = [self.network.conv_0(image)]
        for level in (1, 2, 3, 4):
            stages.append(self.network.get_submodule(f"down_{level}")(stages[-1]))
        features = stages[-1]
        for level in (4, 3, 2, 1):
            features = self.network.get_submodule(f"upcat_{level}")(features, stages[level - 1])
        return [self.classify(features), *stages[1:], features]
