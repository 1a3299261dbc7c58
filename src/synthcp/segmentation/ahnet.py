"""AH-Net (Liu et al., MICCAI 2018), as MONAI builds it: the M of the paper's Table 2.

Its kernels are flat, 3x3x1 and 1x1x3, for volumes whose slices lie further apart than the pixels of a slice; the last
spatial axis is the one across the slices.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from synthcp.errors import WeightsError
from synthcp.nn.padding import multiple, padded
from synthcp.nn.spatial import SpatialDims
from synthcp.segmentation.base import Segmenter, SegmenterShape
from synthcp.segmentation.feature_layer import inputs_of
from synthcp.segmentation.input_size import InputSize
from synthcp.system.extras import import_extra
from synthcp.system.files import first_difference, shapes_of

STRIDE = 32
"""Of the deepest stage."""


@dataclass(frozen=True)
class AHNetConfig:
    """The defaults are MONAI's; the widths are fixed: 38 million parameters in 3D.

    Attributes:
        classes: L.
        in_channels: Channels of the image.
        blocks: Residual blocks of each of the four stages.
        pyramid: Levels of the pyramid pooling before the classifier, 0 to 4; sides are padded to 2 ** (pyramid + 3).
        upsampling: By learned transposed convolutions or linearly.
    """

    classes: int
    in_channels: int = 1
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    pyramid: int = 4
    upsampling: Literal["transpose", "linear"] = "transpose"


class AHNet(Segmenter):
    """A residual encoder of four stages, a dense decoder, pyramid pooling and a classifier at stride 2.

    The feature maps are the encoder's four stages, at strides 4, 8, 16 and 32, and f_M, at stride 2. It has no dropout.

    Raises:
        MissingExtraError: MONAI is not installed.
    """

    def __init__(self, spatial_dims: SpatialDims, config: AHNetConfig, input_size: InputSize | None = None) -> None:
        super().__init__(spatial_dims, input_size=input_size)
        self.config = config
        linear = "bilinear" if spatial_dims == 2 else "trilinear"
        self.network = import_extra("monai", "medical").networks.nets.AHNet(
            config.blocks,
            spatial_dims,
            config.in_channels,
            config.classes,
            config.pyramid,
            linear if config.upsampling == "linear" else config.upsampling,
        )

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, and the feature maps from the first stage to f_M."""
        logits, *layers = padded(self._maps, image, self.padded_size(tuple(image.shape[2:])))
        return logits, layers

    def classify(self, features: Tensor) -> Tensor:
        """Classify f_M: logits (B, L, *S) at twice the size of features (B, K, *s)."""
        final = self.network.final
        logits: Tensor = final.up(final.conv(features))
        return logits

    def padded_size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size to which an image is padded, so that every halving and pooling comes out even.

        Every side is a multiple of 32, and one is 64 at least, since the batch norms of the deepest stage need more
        than one pixel in training; those within a slice also hold a region of the pyramid, or whole regions of it
        before a transposed convolution.
        """
        region = 2 ** (self.config.pyramid + 3)
        whole = max(STRIDE, region) if self.config.upsampling == "transpose" else STRIDE
        within = [max(region, multiple(side, of=whole)) for side in size[:-1]]
        across = multiple(size[-1], of=STRIDE)
        within[0] = max(within[0], STRIDE if max(*within, across) > STRIDE else 2 * STRIDE)
        return (*within, across)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load a state dict of MONAI's AHNet.

        Raises:
            WeightsError: A key is missing, unknown, or of another shape.
        """
        wrong = first_difference(self.network, shapes_of(weights))
        if wrong:
            raise WeightsError(
                f"weights do not fit AH-Net (first difference: {wrong}); use a state dict of MONAI's AHNet of the same "
                "classes, channels, blocks, pyramid and upsampling"
            )
        self.network.load_state_dict(weights)

    def _maps(self, image: Tensor) -> list[Tensor]:
        """The logits and the feature maps of an image of a padded size: each is the input of what follows it."""
        network = self.network
        with ExitStack() as stack:
            followers = (network.layer2, network.layer3, network.layer4, network.up0, network.final.conv)
            inputs = [stack.enter_context(inputs_of(follower)) for follower in followers]
            maps = [network(image)]
        for (layer,) in inputs:
            assert isinstance(layer, Tensor)
            maps.append(layer)
        return maps


def ahnet(shape: SegmenterShape) -> AHNet:
    """Return AH-Net, with as many levels as its pyramid can have without padding what it sees to 2 ** (levels + 3)."""
    size = shape.input_size.size
    side = min(size[:-1] if shape.input_size.policy == "tile" else size, default=128)
    pyramid = max(0, min(4, side.bit_length() - 4))
    config = AHNetConfig(shape.classes, shape.channels, pyramid=pyramid)
    return AHNet(shape.spatial_dims, config, shape.input_size)
