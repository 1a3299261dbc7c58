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
    axes = [starts(side, extent, shared) for side, extent, shared in zip(image.shape[2:], tile, overlap, strict=True)]
    corners = list(itertools.product(*axes))
    sums: list[Tensor] = []
    for corner in corners:
        maps = network(image[_window(corner, tile)])
        if not sums:
            sums = [image.new_zeros(image.shape[0], part.shape[1] + 1, *_scaled(image, part, tile)) for part in maps]
        for total, part in zip(sums, maps, strict=True):
            _add(total, part.float(), corner, tile, image.shape[2:])
    return [total[:, :-1] / total[:, -1:] for total in sums]


def _window(corner: Sequence[int], extent: Sequence[int]) -> tuple[slice, ...]:
    return (slice(None), slice(None), *(slice(first, first + side) for first, side in zip(corner, extent, strict=True)))


def _scaled(image: Tensor, part: Tensor, tile: Sequence[int]) -> list[int]:
    """The size of a map of the whole image, if a tile's map is `part`."""
    sides = zip(image.shape[2:], part.shape[2:], tile, strict=True)
    return [max(1, round(side * small / extent)) for side, small, extent in sides]


def _add(total: Tensor, part: Tensor, corner: Sequence[int], tile: Sequence[int], size: Sequence[int]) -> None:
    """Add a tile's map to the whole, with a last channel that counts."""
    first, extent = [], []
    for start, side, whole, scaled in zip(corner, tile, size, total.shape[2:], strict=True):
        begin = round(start * scaled / whole)
        first.append(begin)
        extent.append(max(1, round((start + side) * scaled / whole) - begin))
    counted = torch.cat([resize(part, extent), part.new_ones(part.shape[0], 1, *extent)], dim=1)
    total[_window(first, extent)] += counted
