"""What every generator promises, in 2D and 3D. A new one needs a line in GENERATORS."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from synthcp.nn.spatial import SpatialDims
from synthcp.synthesis.base import Generator
from synthcp.synthesis.pix2pixhd import Pix2PixHDConfig, Pix2PixHDGenerator
from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator
from synthcp.synthesis.style_encoder import StyledSpadeGenerator, StyleEncoderConfig

CLASSES, CHANNELS = 4, 2
GENERATORS: dict[str, Callable[[SpatialDims], Generator]] = {
    "spade": lambda dims: SpadeGenerator(
        dims, SpadeConfig(CLASSES, CHANNELS, width=4, hidden=4, multipliers=(2, 2, 1))
    ),
    "pix2pixhd": lambda dims: Pix2PixHDGenerator(
        dims, Pix2PixHDConfig(CLASSES, CHANNELS, width=4, halvings=2, blocks=1)
    ),
    "styled": lambda dims: StyledSpadeGenerator(
        dims,
        SpadeConfig(CLASSES, CHANNELS, width=4, hidden=4, multipliers=(2, 2, 1)),
        StyleEncoderConfig(width=4, halvings=2, latent=5),
    ),
}
STYLED = {"styled"}
"""Of those the ones that take the style of the image."""
SIZES: dict[SpatialDims, list[tuple[int, ...]]] = {
    2: [(32, 40), (31, 45), (16, 90), (3, 5), (1, 1)],
    3: [(8, 12, 16), (5, 7, 9), (1, 2, 3)],
}


@pytest.fixture(params=[2, 3])
def dims(request: pytest.FixtureRequest) -> SpatialDims:
    return 3 if request.param == 3 else 2


def lively(name: str, dims: SpatialDims) -> Generator:
    """Return a generator with lively weights: a fresh one draws nearly gray."""
    torch.manual_seed(0)
    generator = GENERATORS[name](dims).eval().requires_grad_(False)
    for parameter in generator.parameters():
        parameter.normal_(std=0.5)
    return generator


@pytest.fixture(params=GENERATORS)
def generator(request: pytest.FixtureRequest, dims: SpatialDims) -> Generator:
    return lively(request.param, dims)


def labels(*size: int, seed: int = 0) -> Tensor:
    return torch.randint(CLASSES, (2, *size), generator=torch.Generator().manual_seed(seed))


def pictures(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(2, CHANNELS, *size, generator=torch.Generator().manual_seed(seed))


def test_any_size_is_drawn_between_zero_and_one(generator: Generator, dims: SpatialDims) -> None:
    for size in SIZES[dims]:
        synthesis = generator(labels(*size), pictures(*size))
        assert synthesis.shape == (2, CHANNELS, *size) and synthesis.dtype == torch.float32
        assert synthesis.min() >= 0 and synthesis.max() <= 1


def test_the_drawing_depends_on_the_labels_and_on_no_chance(generator: Generator, dims: SpatialDims) -> None:
    size = SIZES[dims][0]
    torch.manual_seed(1)
    first = generator(labels(*size), pictures(*size))
    torch.manual_seed(2)
    assert generator(labels(*size), pictures(*size)).equal(first)
    assert not torch.allclose(generator(labels(*size, seed=1), pictures(*size)), first, atol=0.01)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_drawing_depends_on_the_image_where_it_has_a_style(name: str, dims: SpatialDims) -> None:
    generator, size = lively(name, dims), SIZES[dims][0]
    drawings = [generator(labels(*size), pictures(*size, seed=seed)) for seed in (0, 1)]
    assert drawings[0].equal(drawings[1]) == (name not in STYLED)


def test_each_label_map_is_drawn_alone(generator: Generator, dims: SpatialDims) -> None:
    label_maps, images = labels(*SIZES[dims][1]), pictures(*SIZES[dims][1])
    alone = torch.cat([generator(label_maps[:1], images[:1]), generator(label_maps[1:], images[1:])])
    torch.testing.assert_close(generator(label_maps, images), alone, atol=1e-5, rtol=1e-4)


def test_every_label_outside_the_classes_means_no_class(generator: Generator, dims: SpatialDims) -> None:
    label_maps = labels(*SIZES[dims][1])
    ignored = torch.rand(label_maps.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    images = pictures(*SIZES[dims][1])
    drawings = [generator(label_maps.masked_fill(ignored, value), images) for value in (255, CLASSES, -1, 65535)]
    assert all(drawing.equal(drawings[0]) for drawing in drawings[1:])
    assert not torch.allclose(generator(label_maps.masked_fill(ignored, 0), images), drawings[0], atol=0.01)
