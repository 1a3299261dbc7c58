"""Tiles: a network applied to windows of an image that is too large for it, and its outputs put together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from synthcp.nn.spatial import resize


def starts(side: int, tile: int, overlap: int) -> list[int]:
    """Return where the tiles of one axis begin; they share at least `overlap` pixels, and the last one ends at the end.

    >>> starts(100, 40, 10)
    [0, 30, 60]
    """
    if side <= tile:
        return [0]
    step = tile - overlap
    return [*range(0, side - tile, step), side - tile]


def tiled(
    network: Callable[[Tensor], Sequence[Tensor]], image: Tensor, tile: Sequence[int], overlap: Sequence[int]
) -> list[Tensor]:
    """Apply a network to overlapping tiles and average what it says where they meet.

    Args:
        network: From a tile (B, C, *T) to maps (B, K, *t), each smaller than the tile by a factor of its own or none.
        image: Shape (B, C, *S), at least as large as a tile on every axis.
        tile: Size of the tiles.
        overlap: Pixels that neighbours share at least, per axis.

    Returns:
        The maps of the whole image, each (B, K, *s) with the factor it had on a tile.
    """
    size = image.shape[2:]
    corners = [starts(side, extent, shared) for side, extent, shared in zip(size, tile, overlap, strict=True)]
    sums: list[Tensor] = []
    for corner in itertools.product(*corners):
        maps = network(image[_window(corner, tile, size, size)])
        sums = sums or [_nothing_yet(part, tile, size) for part in maps]
        for total, part in zip(sums, maps, strict=True):
            window = _window(corner, tile, size, total.shape[2:])
            total[window] += resize(part.float(), total[window].shape[2:])
    return [_averaged(total, corners, tile, size) for total in sums]


def _nothing_yet(part: Tensor, tile: Sequence[int], size: Sequence[int]) -> Tensor:
    """Zeros of the size of a map of the whole image, if a tile's map is `part`."""
    sides = zip(size, part.shape[2:], tile, strict=True)
    scaled = [max(1, round(side * small / extent)) for side, small, extent in sides]
    return part.new_zeros(*part.shape[:2], *scaled, dtype=torch.float32)


def _window(
    corner: Sequence[int], tile: Sequence[int], size: Sequence[int], scaled: Sequence[int]
) -> tuple[slice, ...]:
    """Where a tile of an image of this size lies in a map (B, K, *s) that has another size."""
    axes = zip(corner, tile, size, scaled, strict=True)
    spans = [_span(start, start + extent, whole, side) for start, extent, whole, side in axes]
    return (slice(None), slice(None), *spans)


def _span(start: int, stop: int, whole: int, scaled: int) -> slice:
    begin = min(round(start * scaled / whole), scaled - 1)
    return slice(begin, max(begin + 1, round(stop * scaled / whole)))


def _averaged(total: Tensor, corners: Sequence[Sequence[int]], tile: Sequence[int], size: Sequence[int]) -> Tensor:
    """Divide a sum, in place, by the number of tiles at each place: the product of their numbers along each axis."""
    for axis, (begins, extent, whole) in enumerate(zip(corners, tile, size, strict=True), start=2):
        count = total.new_zeros(total.shape[axis])
        for start in begins:
            count[_span(start, start + extent, whole, total.shape[axis])] += 1
        total /= count.view(-1, *[1] * (total.ndim - 1 - axis))
    return total
