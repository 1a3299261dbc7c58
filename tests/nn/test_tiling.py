from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.nn.tiling import starts, tiled

CASES = [((17, 12), (8, 6), (2, 3)), ((9, 14, 7), (4, 6, 7), (1, 2, 3))]


@pytest.mark.parametrize(("size", "tile", "overlap"), CASES)
def test_what_tiles_say_is_averaged_where_they_meet(
    size: tuple[int, ...], tile: tuple[int, ...], overlap: tuple[int, ...]
) -> None:
    image = torch.rand(2, 3, *size)

    def network(part: Tensor) -> list[Tensor]:
        return [part * part.mean(), part[:, :1] - part.amax()]  # depends on all of the tile

    total, count = [torch.zeros(2, 3, *size), torch.zeros(2, 1, *size)], torch.zeros(size)
    corners = itertools.product(*(starts(*axis) for axis in zip(size, tile, overlap, strict=True)))
    for corner in corners:
        window = tuple(slice(first, first + side) for first, side in zip(corner, tile, strict=True))
        count[window] += 1
        for whole, part in zip(total, network(image[(..., *window)]), strict=True):
            whole[(..., *window)] += part
    assert count.min() >= 1 and count.max() >= 4
    for found, whole in zip(tiled(network, image, tile, overlap), total, strict=True):
        torch.testing.assert_close(found, whole / count)


def test_maps_may_be_smaller_than_their_tiles() -> None:
    image = torch.rand(1, 2, 48, 32, 16)
    (half, single) = tiled(
        lambda part: [F.avg_pool3d(part, 2), part.mean((2, 3, 4), keepdim=True)], image, (16, 8, 16), (4, 4, 4)
    )
    torch.testing.assert_close(half, F.avg_pool3d(image, 2))
    assert single.shape == (1, 2, 3, 4, 1)


def test_integers_go_in_and_reals_come_out() -> None:
    labels = torch.randint(5, (1, 1, 9, 7))
    (found,) = tiled(lambda part: [part.half() / 2], labels, (4, 4), (1, 1))
    assert found.dtype == torch.float32 and found.equal(labels / 2)


def test_gradients_pass_through_the_tiles() -> None:
    image = torch.rand(1, 1, 9, 7, requires_grad=True)
    (found,) = tiled(lambda part: [part.square()], image, (4, 4), (1, 1))
    found.sum().backward()
    assert image.grad is not None
    torch.testing.assert_close(image.grad, 2 * image.detach())
