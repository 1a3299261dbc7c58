"""Blur and smooth random fields, along any number of spatial axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.data.transforms import resize


def blurred(image: Tensor, deviation: float) -> Tensor:
    """Blur (C, *S) by a Gaussian along each axis; beyond the border an image goes on as at the border.

    Args:
        image: What to blur.
        deviation: Standard deviation in pixels; the Gaussian ends at three of them.
    """
    radius = round(3 * deviation)
    if radius == 0:
        return image
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    for axis in range(1, image.ndim):
        lines = image.movedim(axis, -1)
        padded = F.pad(lines.reshape(-1, 1, lines.shape[-1]), (radius, radius), mode="replicate")
        image = F.conv1d(padded, kernel).reshape(lines.shape).movedim(-1, axis)
    return image.contiguous()


def smooth_field(size: Sequence[int], nodes: int, generator: torch.Generator) -> Tensor:
    """Draw a smooth field, shape (1, *size): standard normal at some nodes along each axis, linear between them."""
    return resize(torch.randn(1, *[nodes] * len(size), generator=generator), size)
