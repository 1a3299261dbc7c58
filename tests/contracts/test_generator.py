"""What every generator of the catalogue promises, in 2D and 3D."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from synthcp.nn.spatial import SpatialDims
from synthcp.synthesis.base import Generator, GeneratorShape
from synthcp.synthesis.catalogue import GENERATORS, new_generator
from synthcp.synthesis.losses import adversarial_loss

CLASSES, CHANNELS = 4, 2
DOCS = Path(__file__).parents[2] / "docs" / "own-model.md"
SIZES: dict[SpatialDims, list[tuple[int, ...]]] = {
    2: [(32, 40), (31, 45), (16, 90), (3, 5), (1, 1)],
    3: [(8, 12, 16), (5, 7, 9), (1, 2, 3)],
}


@pytest.fixture(params=[2, 3])
def dims(request: pytest.FixtureRequest) -> SpatialDims:
    return 3 if request.param == 3 else 2


@pytest.fixture(params=GENERATORS)
def generator(request: pytest.FixtureRequest, dims: SpatialDims) -> Generator:
    """One with lively weights: a fresh one draws nearly gray."""
    torch.manual_seed(0)
    shape = GeneratorShape(dims, CLASSES, CHANNELS, width=4, hidden=4, multipliers=(2, 2, 1))
    network = new_generator(request.param, shape).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(std=0.5)
    return network


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


def test_a_drawing_depends_on_the_image_where_it_has_a_style(generator: Generator, dims: SpatialDims) -> None:
    size = SIZES[dims][0]
    syntheses = [generator(labels(*size), pictures(*size, seed=seed)) for seed in (0, 1)]
    _, divergence = generator.rehearse(labels(*size), pictures(*size))
    assert syntheses[0].equal(syntheses[1]) == (divergence is None)


def test_it_is_trained_by_a_known_form_of_the_loss(generator: Generator) -> None:
    adversarial_loss(generator.adversarial)


def test_every_generator_of_the_catalogue_is_in_the_docs() -> None:
    text = DOCS.read_text()
    assert [name for name in GENERATORS if f"| `{name}` |" not in text] == []


def test_each_label_map_is_drawn_alone(generator: Generator, dims: SpatialDims) -> None:
    label_maps, images = labels(*SIZES[dims][1]), pictures(*SIZES[dims][1])
    alone = torch.cat([generator(label_maps[:1], images[:1]), generator(label_maps[1:], images[1:])])
    torch.testing.assert_close(generator(label_maps, images), alone, atol=5e-4, rtol=0)  # many norms, in float32


def test_every_label_outside_the_classes_means_no_class(generator: Generator, dims: SpatialDims) -> None:
    label_maps = labels(*SIZES[dims][1])
    ignored = torch.rand(label_maps.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    images = pictures(*SIZES[dims][1])
    syntheses = [generator(label_maps.masked_fill(ignored, value), images) for value in (255, CLASSES, -1, 65535)]
    assert all(synthesis.equal(syntheses[0]) for synthesis in syntheses[1:])
    assert not torch.allclose(generator(label_maps.masked_fill(ignored, 0), images), syntheses[0], atol=0.01)
