from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.nn.padding import multiple, padded


@pytest.mark.parametrize(("shape", "size"), [((5, 7), (8, 12)), ((3, 6, 5), (4, 6, 9))])
def test_the_network_sees_the_border_repeated_and_what_it_says_is_cut_back(
    shape: tuple[int, ...], size: tuple[int, ...]
) -> None:
    image = torch.rand(2, 3, *shape)
    views: list[Tensor] = []

    def network(view: Tensor) -> list[Tensor]:
        views.append(view)
        return [view, F.interpolate(view, scale_factor=2)]

    same, doubled = padded(network, image, size)
    margins = [(0, 0), (0, 0), *((0, wanted - side) for side, wanted in zip(shape, size, strict=True))]
    assert np.array_equal(views[0].numpy(), np.pad(image.numpy(), margins, mode="edge"))
    assert same.equal(image) and doubled.equal(F.interpolate(image, scale_factor=2))


def test_a_map_of_one_pixel_stays() -> None:
    (small,) = padded(lambda view: [view.mean((2, 3), keepdim=True)], torch.rand(1, 1, 3, 40), (32, 40))
    assert small.shape == (1, 1, 1, 1)


@pytest.mark.parametrize(("side", "expected"), [(1, 16), (16, 16), (17, 32), (47, 48)])
def test_the_next_multiple(side: int, expected: int) -> None:
    assert multiple(side, of=16) == expected
