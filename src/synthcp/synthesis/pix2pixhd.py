"""The global generator of pix2pixHD (Wang et al., CVPR 2018, section 3.2 and its appendix), for images and volumes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from torch import Tensor, nn

from synthcp.nn.labels import one_hot
from synthcp.nn.padding import multiple, padded
from synthcp.nn.spatial import SpatialDims, conv, doubling_conv, instance_norm
from synthcp.synthesis.base import Generator, GeneratorShape, in_unit_range

Convolution = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d


@dataclass(frozen=True)
class Pix2PixHDConfig:
    """The paper's global generator is width 64, four halvings, nine blocks.

    Attributes:
        classes: L.
        out_channels: Channels of the image.
        width: Channels at the full size; they double with every halving.
        halvings: How often the size is halved, and doubled again; at least once.
        blocks: Residual blocks at the smallest size.
    """

    classes: int
    out_channels: int = 3
    width: int = 64
    halvings: int = 4
    blocks: int = 9


class Pix2PixHDGenerator(Generator):
    """Down to the smallest size, residual blocks there, up again; a label map of another size is padded on the way.

    The label map enters once, at the start, and every normalisation takes some of it away; SPADE was made to mend that.
    """

    adversarial = "least_squares"

    def __init__(self, spatial_dims: SpatialDims, config: Pix2PixHDConfig, patch: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.config = config
        self.patch = patch
        channels = [config.width * 2**times for times in range(config.halvings + 1)]
        layers = _normalized(
            spatial_dims, conv(spatial_dims, config.classes, channels[0], kernel=7, padding_mode="reflect")
        )
        for before, after in itertools.pairwise(channels):
            layers += _normalized(spatial_dims, conv(spatial_dims, before, after, stride=2))
        layers += [ResnetBlock(spatial_dims, channels[-1]) for _ in range(config.blocks)]
        for before, after in itertools.pairwise(channels[::-1]):
            layers += _normalized(spatial_dims, doubling_conv(spatial_dims, before, after, kernel=3))
        layers.append(conv(spatial_dims, channels[0], config.out_channels, kernel=7, padding_mode="reflect"))
        self.layers = nn.Sequential(*layers)
        self.apply(_init)

    def forward(self, label_map: Tensor, image: Tensor) -> Tensor:
        """Draw x_hat (B, C, *S) in [0, 1] from a label map (B, *S), whatever the image (shapes: see Generator)."""
        factor = 2**self.config.halvings
        # with two pixels at the smallest size there is something to reflect, and to normalise
        size = [max(2 * factor, multiple(side, factor)) for side in label_map.shape[1:]]
        layout = one_hot(label_map, self.config.classes)
        (synthesis,) = padded(lambda layout: [self.layers(layout)], layout, size)
        return in_unit_range(synthesis.float(), in_use=not self.training)


def pix2pixhd(shape: GeneratorShape) -> Pix2PixHDGenerator:
    """Return one that takes about as many multiplications as SPADE of that shape: none is better by its size."""
    config = Pix2PixHDConfig(shape.classes, shape.channels, width=3 * shape.width // 2, halvings=3)
    return Pix2PixHDGenerator(shape.spatial_dims, config, shape.patch)


class ResnetBlock(nn.Module):
    """Two convolutions, each behind a border that mirrors the inside, added to what came in."""

    def __init__(self, spatial_dims: SpatialDims, channels: int) -> None:
        super().__init__()
        first, second = (conv(spatial_dims, channels, channels, padding_mode="reflect") for _ in range(2))
        self.layers = nn.Sequential(*_normalized(spatial_dims, first), second, instance_norm(spatial_dims, channels))

    def forward(self, features: Tensor) -> Tensor:
        """Transform features (B, channels, *s)."""
        transformed: Tensor = features + self.layers(features)
        return transformed


def _normalized(spatial_dims: SpatialDims, convolution: Convolution) -> list[nn.Module]:
    return [convolution, instance_norm(spatial_dims, convolution.out_channels), nn.ReLU()]


def _init(module: nn.Module) -> None:
    """Kernels from a normal distribution of standard deviation 0.02, as pix2pixHD."""
    if isinstance(module, Convolution):
        nn.init.normal_(module.weight, std=0.02)
