"""The SPADE generator (Park et al., CVPR 2019), for images of any size and for volumes."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.nn.labels import one_hot
from synthcp.nn.spade import SpadeBlock
from synthcp.nn.spatial import SpatialDims, conv, resize_nearest
from synthcp.synthesis.base import Generator, GeneratorShape, in_unit_range


@dataclass(frozen=True)
class SpadeConfig:
    """The paper's G is width 64, hidden 128, multipliers 16, 16, 16, 8, 4, 2, 1 and seven blocks, six doublings.

    Attributes:
        classes: L.
        out_channels: Channels of the image.
        width: Channels of the last block (ngf).
        hidden: Channels of the label embedding inside every SPADE.
        multipliers: Channels of each block over width; the size doubles between two blocks.
    """

    classes: int
    out_channels: int = 3
    width: int = 64
    hidden: int = 128
    multipliers: tuple[int, ...] = (16, 16, 16, 8, 4, 2, 1)

    @classmethod
    def of(cls, shape: GeneratorShape) -> SpadeConfig:
        """Return the config of a shape."""
        return cls(shape.classes, shape.channels, shape.width, shape.hidden, shape.multipliers)

    @property
    def channels(self) -> list[int]:
        """Channels of each block."""
        return [self.width * multiplier for multiplier in self.multipliers]


class SpadePainter(Generator):
    """SPADE behind its start: blocks and doublings in turn, up to the full size.

    The sizes on the way are the full size halved again and again, rounded up, so any size can be drawn.
    """

    def __init__(
        self, spatial_dims: SpatialDims, config: SpadeConfig, start: nn.Module, patch: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        self.config = config
        self.patch = patch
        self.start = start
        channels = config.channels
        self.blocks = nn.ModuleList(
            SpadeBlock(spatial_dims, before, after, config.classes, config.hidden)
            for before, after in zip(channels[:1] + channels[:-1], channels, strict=True)
        )
        self.to_image = conv(spatial_dims, channels[-1], config.out_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                _init(module)

    def smallest(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size at which a synthesis of this size starts."""
        return _halved(size, len(self.blocks) - 1)

    def paint(self, start: Tensor, layout: Tensor) -> Tensor:
        """Draw x_hat (B, C, *S) in [0, 1] from features (B, channels, *s) and a one-hot layout (B, L, *S)."""
        size, features = tuple(layout.shape[2:]), start
        for doublings, block in zip(reversed(range(len(self.blocks))), self.blocks, strict=True):
            features = resize_nearest(features, _halved(size, doublings))
            features = block(features, layout)
        synthesis: Tensor = self.to_image(F.leaky_relu(features, 0.2)).float()
        return in_unit_range(synthesis, in_use=not self.training)


class SpadeGenerator(SpadePainter):
    """SPADE that starts from the label map at its coarsest."""

    def __init__(self, spatial_dims: SpatialDims, config: SpadeConfig, patch: tuple[int, ...] = ()) -> None:
        super().__init__(spatial_dims, config, conv(spatial_dims, config.classes, config.channels[0]), patch)

    def forward(self, label_map: Tensor, image: Tensor) -> Tensor:
        """Draw x_hat (B, C, *S) in [0, 1] from a label map (B, *S), whatever the image (shapes: see Generator)."""
        layout = one_hot(label_map, self.config.classes)
        return self.paint(self.start(resize_nearest(layout, self.smallest(tuple(layout.shape[2:])))), layout)


def spade(shape: GeneratorShape) -> SpadeGenerator:
    """Return SPADE."""
    return SpadeGenerator(shape.spatial_dims, SpadeConfig.of(shape), shape.patch)


def _halved(size: tuple[int, ...], times: int) -> tuple[int, ...]:
    return tuple(max(1, -(-side // 2**times)) for side in size)


def _init(module: nn.Conv2d | nn.Conv3d) -> None:
    """Xavier with gain 0.02 for kernels that are not spectrally normalised, as SPADE; zero biases."""
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    if not hasattr(module, "parametrizations"):
        nn.init.xavier_normal_(module.weight, gain=0.02)
