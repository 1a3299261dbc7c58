"""Padding: images that are too small for a network, or of an odd size, and what it says of them cut back."""

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


def at_least(tensor: Tensor, smallest: Sequence[int], fill: float | None) -> Tensor:
    """Pad the last len(smallest) axes, evenly on both sides, to at least these sizes.

    Args:
        tensor: (..., *S); to repeat the border, (C, *S) or (B, C, *S).
        smallest: Sizes that the axes have at least afterwards.
        fill: Value of what is added; None repeats the border.
    """
    margins: list[int] = []
    for side, least in zip(reversed(tensor.shape), reversed(smallest), strict=False):
        missing = max(0, least - side)
        margins += [missing // 2, missing - missing // 2]
    if not any(margins):
        return tensor
    if fill is None and tensor.numel():  # what has no channels has no border either
        single = tensor.ndim == len(smallest) + 1
        border = F.pad(tensor[None] if single else tensor, margins, mode="replicate")
        return border[0] if single else border
    return F.pad(tensor, margins, value=fill)


def middle(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Cut the last len(size) axes back to what `at_least` has padded."""
    for axis, side in enumerate(size, start=tensor.ndim - len(size)):
        tensor = tensor.narrow(axis, (tensor.shape[axis] - side) // 2, side)
    return tensor


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
