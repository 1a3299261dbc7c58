"""Label maps larger than the patch are drawn in windows, each in the style of the image in it."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from synthcp.nn.spatial import SpatialDims
from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator


class Tinted(SpadeGenerator):
    """Draws in the mean colour of what it sees of the image."""

    def forward(self, label_map: Tensor, image: Tensor) -> Tensor:
        axes = tuple(range(2, image.ndim))
        return (super().forward(label_map, image) + image.mean(axes, keepdim=True)) / 2


def lively(dims: SpatialDims, patch: tuple[int, ...] = ()) -> SpadeGenerator:
    torch.manual_seed(0)
    config = SpadeConfig(4, out_channels=2, width=4, hidden=4, multipliers=(2, 2, 1))
    generator = Tinted(dims, config, patch).eval().requires_grad_(False)
    for parameter in generator.parameters():
        parameter.normal_(std=0.5)
    return generator


# size, patch, and where its windows begin along each axis
CASES = [
    ((20, 13), (8, 12), [(0, 6, 12), (0, 1)]),
    ((20, 13, 5), (8, 12, 8), [(0, 6, 12), (0, 1), (0,)]),
    ((11, 9, 16), (4, 8, 16), [(0, 3, 6, 7), (0, 1), (0,)]),
]


@pytest.mark.parametrize(("size", "patch", "begins"), CASES)
def test_windows_are_averaged_where_they_meet(
    size: tuple[int, ...], patch: tuple[int, ...], begins: list[tuple[int, ...]]
) -> None:
    generator = lively(2 if len(size) == 2 else 3, patch)
    label_map, image = torch.randint(4, (2, *size)), torch.rand(2, 2, *size)
    total, count = torch.zeros(2, 2, *size), torch.zeros(size)
    for corner in itertools.product(*begins):
        window = (..., *(slice(first, first + side) for first, side in zip(corner, patch, strict=True)))
        total[window] += generator(label_map[window], image[window])
        count[window] += 1
    found = generator.draw(label_map, image)
    torch.testing.assert_close(found, total / count)
    assert not torch.allclose(found, generator(label_map, image), atol=0.01)


@pytest.mark.parametrize(("patch", "size"), [((), (9, 14, 11)), ((8, 12, 10), (8, 7, 10)), ((8, 12, 10), (3, 12, 1))])
def test_what_is_no_larger_than_a_patch_is_drawn_at_once(patch: tuple[int, ...], size: tuple[int, ...]) -> None:
    label_map, image = torch.randint(4, (2, *size)), torch.rand(2, 2, *size)
    assert lively(3, patch).draw(label_map, image).equal(lively(3)(label_map, image))


def test_the_patch_changes_no_weight() -> None:
    assert lively(3, (8, 8, 8)).state_dict().keys() == lively(3).state_dict().keys()
