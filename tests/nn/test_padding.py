from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.nn.padding import at_least, middle, multiple, padded


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


def test_padding_goes_evenly_to_both_sides_and_never_cuts() -> None:
    volume = torch.arange(1.0, 13).reshape(1, 2, 3, 2)
    border = at_least(volume, (4, 3, 1), None)
    assert border.shape == (1, 4, 3, 2)
    assert border[0, :, 0, 0].tolist() == [1, 1, 7, 7]
    assert at_least(volume[0].long(), (2, 6, 2), 255)[0, :, 1].tolist() == [255, 2, 4, 6, 255, 255]
    assert at_least(volume[0] > 2, (3, 3, 3), False).sum() == 10
    assert at_least(volume, (2, 3, 2), None) is volume
    assert at_least(volume[None], (4, 3, 1), None).equal(border[None])
    assert at_least(volume[:0], (4, 3, 2), None).shape == (0, 4, 3, 2)


def test_the_middle_is_what_was_padded() -> None:
    volume = torch.rand(2, 4, 7, 5)
    assert middle(at_least(volume, (9, 6, 8), None)[None], (4, 7, 5)).equal(volume[None])
