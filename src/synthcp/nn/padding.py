"""Padding: a network applied to an image that is too small for it, or of an odd size, and what it says cut back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor


def padded(network: Callable[[Tensor], Sequence[Tensor]], image: Tensor, size: Sequence[int]) -> list[Tensor]:
    """Repeat the border of an image at its far ends up to a size, and cut the same share off what a network says.

    Args:
        network: From an image (B, C, *size) to maps (B, K, *s), each smaller than the image by a factor of its own or
            none.
        image: Shape (B, C, *S), at most as large as the size on every axis.
        size: Of the image that the network is shown.

    Returns:
        The maps of the image alone.
    """
    shape = image.shape[2:]
    margins = [margin for side, wanted in zip(shape, size, strict=True) for margin in (wanted - side, 0)]
    maps = network(F.pad(image, margins[::-1], mode="replicate") if any(margins) else image)
    return [_cut(part, shape, size) for part in maps]


def multiple(side: int, of: int) -> int:
    """Return the smallest multiple that is no smaller than a side.

    >>> multiple(33, of=32)
    64
    """
    return -(-side // of) * of


def _cut(features: Tensor, shape: Sequence[int], size: Sequence[int]) -> Tensor:
    for axis, (side, wanted) in enumerate(zip(shape, size, strict=True), start=2):
        features = features.narrow(axis, 0, max(1, round(features.shape[axis] * side / wanted)))
    return features
