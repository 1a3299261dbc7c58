from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from synthcp.nn.spatial import SpatialDims
from synthcp.rivals.shape_vae import Box, ShapeVae, ShapeVaeConfig, crop, foreground_box

SMALL: dict[SpatialDims, ShapeVaeConfig] = {
    2: ShapeVaeConfig(classes=3, grid=(16, 24), widths=(4, 6, 8), latent=5, convolutions=2),
    3: ShapeVaeConfig(classes=3, grid=(8, 12, 16), widths=(4, 6, 8), latent=5),
}


PUBLISHED = ShapeVaeConfig(grid=(128,) * 3, widths=(8, 16, 32, 64, 128, 256), latent=1024, convolutions=3)
"""The network of the authors of the alarm, for a foreground of one class."""


def vae_of(dims: SpatialDims) -> ShapeVae:
    torch.manual_seed(0)
    return ShapeVae(dims, SMALL[dims]).requires_grad_(False)


def masks(dims: SpatialDims) -> torch.Tensor:
    return torch.rand(2, 3, *SMALL[dims].grid, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dims", [2, 3])
def test_it_returns_probabilities_and_a_code(dims: SpatialDims) -> None:
    probabilities, mean, deviation = vae_of(dims).eval()(masks(dims))
    assert probabilities.shape == (2, 3, *SMALL[dims].grid) and probabilities.min() >= 0
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2, *SMALL[dims].grid))
    assert mean.shape == deviation.shape == (2, 5)
    assert deviation.min() == 0 and deviation.max() > 0 and mean.min() < 0  # a ReLU is on the deviation alone


@pytest.mark.parametrize("dims", [2, 3])
def test_in_use_the_mean_code_alone_decides(dims: SpatialDims) -> None:
    vae = vae_of(dims).eval()
    probabilities, mean, _ = vae(masks(dims))
    assert probabilities.equal(vae.decode(mean)) and probabilities.equal(vae(masks(dims))[0])


@pytest.mark.parametrize("dims", [2, 3])
def test_in_training_the_code_is_drawn(dims: SpatialDims) -> None:
    vae = vae_of(dims).train()
    torch.manual_seed(3)
    probabilities, mean, deviation = vae(masks(dims))
    torch.manual_seed(3)
    torch.testing.assert_close(probabilities, vae.decode(mean + 0.2 * deviation * torch.randn(2, 5)))


def test_the_published_network_has_the_published_size() -> None:
    with torch.device("meta"):
        vae = ShapeVae(3, PUBLISHED)
    count = sum(parameter.numel() for parameter in vae.parameters())
    assert PUBLISHED.smallest == (4, 4, 4) and vae.from_code.out_features == 16_384
    assert count == pytest.approx(59.5e6, rel=0.02)


@pytest.mark.parametrize("grid", [(8, 12, 18), (4, 4, 4), (8, 12)])
def test_a_grid_that_does_not_fit_is_refused(grid: tuple[int, ...], fails) -> None:
    with fails(str(grid)):
        ShapeVae(3, ShapeVaeConfig(grid=grid, widths=(4, 6, 8)))


def block(size: tuple[int, ...], start: tuple[int, ...], end: tuple[int, ...], label: int = 1) -> Tensor:
    label_map = torch.zeros(size, dtype=torch.int64)
    label_map[tuple(slice(*ends) for ends in zip(start, end, strict=True))] = label
    return label_map


def test_the_box_has_the_grids_proportions_and_a_margin() -> None:
    box = foreground_box(block((30, 40, 20), (5, 10, 2), (11, 30, 6)), 2, (8, 16, 4))
    pixel = max(6 / 8, 20 / 16, 4 / 4) * 1.2
    assert box.centre == (8, 20, 4)
    assert box.sides == pytest.approx((8 * pixel, 16 * pixel, 4 * pixel))


def test_classes_alone_are_foreground() -> None:
    label_map = block((12, 9), (2, 3), (4, 8), label=2)
    expected = foreground_box(label_map, 3, (6, 6))
    label_map[11] = 255
    assert foreground_box(label_map, 3, (6, 6)) == expected
    assert foreground_box(label_map, 2, (6, 6)) == Box((6, 4.5), (12, 12))  # no foreground: all of the map


@pytest.mark.parametrize(
    ("size", "box", "grid"),
    [((9, 7), Box((2.5, 5.0), (8.0, 5.0)), (5, 4)), ((5, 6, 7), Box((4.0, 1.0, 3.5), (3.0, 9.0, 14.0)), (4, 6, 3))],
)
def test_a_crop_is_the_nearest_pixel_of_every_place(size: tuple[int, ...], box: Box, grid: tuple[int, ...]) -> None:
    label_map = torch.randint(1, 4, size, generator=torch.Generator().manual_seed(0))
    label_map.flatten()[::5] = 255
    shown = crop(label_map, box, 4, grid)
    assert shown.shape == grid
    for place in product(*map(range, grid)):
        steps = zip(place, box.centre, box.sides, grid, strict=True)
        pixel = tuple(math.floor(centre - side / 2 + (i + 0.5) * side / n) for i, centre, side, n in steps)
        inside = all(0 <= at < extent for at, extent in zip(pixel, size, strict=True))
        value = int(label_map[pixel]) if inside else 0
        assert shown[place] == (0 if value == 255 else value)


@pytest.mark.parametrize("start", [(0, 0, 0), (4, 9, 2), (20, 30, 8)])
def test_a_shape_looks_alike_wherever_it_is(start: tuple[int, int, int]) -> None:
    grid, shape = (12, 24, 12), torch.ones(5, 10, 4, dtype=torch.int64)
    shape[0, :3], shape[4, 9] = 0, 2
    label_map = torch.zeros(25, 40, 12, dtype=torch.int64)
    label_map[start[0] : start[0] + 5, start[1] : start[1] + 10, start[2] : start[2] + 4] = shape
    alone = torch.zeros(30, 30, 30, dtype=torch.int64)
    alone[10:15, 10:20, 10:14] = shape
    views = [crop(one, foreground_box(one, 3, grid), 3, grid) for one in (label_map, alone)]
    assert views[0].equal(views[1]) and views[0].unique().tolist() == [0, 1, 2]
    border = torch.ones(grid, dtype=torch.bool)
    border[:, 2:-2] = False
    assert not views[0][border].any()  # the margin of the longest side
