"""The network of the VAE alarm (Liu et al., ICCV 2019): it has seen true masks alone and makes what looks like one.

It looks at a box of the label map: around its foreground, wherever and however large that is, or all of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synthcp.errors import InputError
from synthcp.nn.spatial import SpatialDims, conv, doubling_conv, halving_conv, instance_norm

NO_CLASS = -1
"""Label of a pixel of which the VAE sees nothing."""
MARGIN = 0.1
"""Kept free on each side of the foreground, as a share of its extent (Liu et al., ICCV 2019)."""


@dataclass(frozen=True)
class ShapeVaeConfig:
    """A variational autoencoder of label maps.

    Attributes:
        classes: L, the background among them.
        grid: Number of pixels per axis of the box that it sees; the sides are halved with every further width.
        widths: Channels at each level, from the size of the grid down.
        latent: Numbers in the code.
        convolutions: At each level below the first, after the halving; the decoder mirrors them.
        noise: Factor of the standard deviation with which the code is drawn in training.
        background: Index of the class around what has a shape: the box holds the other classes. None where every class
            counts, as in streets: the box is the whole image.
    """

    classes: int = 2
    grid: tuple[int, ...] = (24, 32, 24)
    widths: tuple[int, ...] = (8, 16, 32)
    latent: int = 64
    convolutions: int = 1
    noise: float = 0.2
    background: int | None = 0

    @property
    def smallest(self) -> tuple[int, ...]:
        """Size of the grid at the last level."""
        return tuple(side // 2 ** (len(self.widths) - 1) for side in self.grid)

    @property
    def outside(self) -> int:
        """Label of the pixels beyond the image and of those without a class: the background, if there is one."""
        return NO_CLASS if self.background is None else self.background


class ShapeVae(nn.Module):
    """Encoder down to a code of mean and standard deviation, decoder back to class probabilities.

    Raises:
        InputError: The grid has another number of axes, or it cannot be halved as often as there are widths.
    """

    def __init__(self, spatial_dims: SpatialDims, config: ShapeVaeConfig) -> None:
        super().__init__()
        _check_grid(spatial_dims, config)
        self.config = config
        widths, numbers = config.widths, config.widths[-1] * math.prod(config.smallest)
        self.first = _block(spatial_dims, config.classes, widths[0])
        self.encoder = nn.ModuleList(
            nn.Sequential(halving_conv(spatial_dims, wide, narrow), *_blocks(spatial_dims, narrow, config.convolutions))
            for wide, narrow in zip(widths, widths[1:], strict=False)
        )
        self.to_mean, self.to_deviation = nn.Linear(numbers, config.latent), nn.Linear(numbers, config.latent)
        self.from_code = nn.Linear(config.latent, numbers)
        self.decoder = nn.ModuleList(
            nn.Sequential(doubling_conv(spatial_dims, narrow, wide), *_blocks(spatial_dims, wide, config.convolutions))
            for narrow, wide in zip(widths[::-1], widths[-2::-1], strict=False)
        )
        self.last = conv(spatial_dims, widths[0], config.classes)

    def encode(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the code, shape (B, latent) each, of masks (B, L, *grid)."""
        features = self.first(mask)
        for level in self.encoder:
            features = level(features)
        features = features.flatten(1)
        return self.to_mean(features), torch.relu(self.to_deviation(features))

    def decode(self, code: Tensor) -> Tensor:
        """Return the class probabilities of a code (B, latent), shape (B, L, *grid)."""
        features = self.from_code(code).view(len(code), self.config.widths[-1], *self.config.smallest)
        for level in self.decoder:
            features = level(features)
        probabilities: Tensor = self.last(features).float().softmax(dim=1)
        return probabilities

    def forward(self, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct masks; in training from a code drawn at random, in use from its mean.

        Args:
            mask: One-hot, shape (B, L, *grid).

        Returns:
            Class probabilities, shape (B, L, *grid), and mean and standard deviation of the code.
        """
        mean, deviation = self.encode(mask)
        noise = self.config.noise * torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        return self.decode(mean + deviation * noise), mean, deviation


def _block(spatial_dims: SpatialDims, in_channels: int, out_channels: int) -> nn.Module:
    convolution = conv(spatial_dims, in_channels, out_channels)
    return nn.Sequential(convolution, instance_norm(spatial_dims, out_channels), nn.ReLU())


def _blocks(spatial_dims: SpatialDims, channels: int, count: int) -> list[nn.Module]:
    return [_block(spatial_dims, channels, channels) for _ in range(count)]


def _check_grid(spatial_dims: SpatialDims, config: ShapeVaeConfig) -> None:
    factor = 2 ** (len(config.widths) - 1)
    if len(config.grid) != spatial_dims:
        raise InputError(f"grid {config.grid} of a shape VAE must have {spatial_dims} sides, one for each axis")
    if any(side % factor for side in config.grid) or math.prod(config.smallest) < 2:
        rule = f"must be multiples of {factor}, at least one of them larger, for {len(config.widths)} widths"
        raise InputError(f"the sides of grid {config.grid} {rule}; choose other sides or fewer widths")


@dataclass(frozen=True)
class Box:
    """A box in an image; it may reach beyond it.

    Attributes:
        centre: In pixels from the first corner of the image, per spatial axis; pixel i lies between i and i + 1.
        sides: In pixels, per spatial axis.
    """

    centre: tuple[float, ...]
    sides: tuple[float, ...]


def whole_box(label_map: Tensor) -> Box:
    """Return the box of all of a label map (*S), whatever its proportions."""
    return Box(tuple(side / 2 for side in label_map.shape), tuple(map(float, label_map.shape)))


def foreground_box(
    label_map: Tensor, classes: int, grid: Sequence[int], background: int = 0, margin: float = MARGIN
) -> Box:
    """Return the smallest box of the grid's proportions with the foreground and its margin, centred on it.

    Args:
        label_map: shape (*S); the foreground is every class but the background. Without any, the box holds all of it.
        classes: L; pixels of other values (the ignore index) are no foreground.
        grid: Number of pixels per axis at which the box will be seen; only its proportions matter here.
        background: Index of the class that is no foreground.
        margin: On each side, as a share of the extent of the foreground.
    """
    foreground = torch.nonzero((label_map >= 0) & (label_map < classes) & (label_map != background)).cpu()
    if len(foreground):
        first, last = foreground.amin(dim=0).tolist(), (foreground.amax(dim=0) + 1).tolist()
    else:
        first, last, margin = [0] * label_map.ndim, list(label_map.shape), 0.0
    pixel = max((end - start) / number for start, end, number in zip(first, last, grid, strict=True))
    centre = tuple((start + end) / 2 for start, end in zip(first, last, strict=True))
    return Box(centre, tuple(pixel * (1 + 2 * margin) * number for number in grid))


def crop(label_map: Tensor, box: Box, classes: int, grid: Sequence[int], outside: int = 0) -> Tensor:
    """Return what a box shows of a label map, shape (*grid), int64: the nearest pixels.

    Args:
        label_map: shape (*S); pixels of no class (the ignore index) are shown as outside.
        box: In this label map.
        classes: L.
        grid: Number of pixels per axis.
        outside: Label of what lies beyond the label map.
    """
    label_map = label_map.where((label_map >= 0) & (label_map < classes), outside)
    for axis, (centre, side, number) in enumerate(zip(box.centre, box.sides, grid, strict=True)):
        steps = (torch.arange(number, device=label_map.device) + 0.5) / number - 0.5
        index = (centre + side * steps).floor().long()
        beyond = (index < 0) | (index >= label_map.shape[axis])
        label_map = label_map.index_select(axis, index.clamp(0, label_map.shape[axis] - 1))
        label_map = label_map.index_fill(axis, torch.nonzero(beyond)[:, 0], outside)
    return label_map


def shape_of(label_map: Tensor, config: ShapeVaeConfig) -> Tensor:
    """Return a label map (*S) as a VAE sees it, shape (*grid); NO_CLASS where it sees nothing."""
    return view(label_map, box_of(label_map, config), config)


def box_of(label_map: Tensor, config: ShapeVaeConfig) -> Box:
    """Return the box of a label map (*S) that a VAE looks at."""
    if config.background is None:
        return whole_box(label_map)
    return foreground_box(label_map, config.classes, config.grid, config.background)


def view(label_map: Tensor, box: Box, config: ShapeVaeConfig) -> Tensor:
    """Return what a VAE sees of a label map (*S) in a box, shape (*grid); NO_CLASS where it sees nothing."""
    return crop(label_map, box, config.classes, config.grid, config.outside)
