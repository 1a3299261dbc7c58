from __future__ import annotations

import pytest
import torch

from synthcp.data.degradation import Degraded, degrade
from synthcp.data.drawn.phantoms import Phantoms, PhantomsConfig
from synthcp.data.specs import open_dataset
from synthcp.data.transforms import resize
from synthcp.errors import InputError

SIZES = [(1, 24, 20, 16), (3, 40, 56)]


def picture(size, seed=0):
    """A smooth image with a bright box."""
    generator = torch.Generator().manual_seed(seed)
    image = 0.3 + 0.2 * resize(torch.rand(size[0], *[5] * (len(size) - 1), generator=generator), size[1:])
    image[(slice(None), *[slice(side // 4, side // 2) for side in size[1:]])] += 0.4
    return image


def worse(image, severity, seed):
    return degrade(image, severity, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", SIZES)
def test_more_severity_is_worse(size):
    image = picture(size)
    assert worse(image, 0, seed=1).equal(image)
    for seed in range(8):
        errors = [float((worse(image, severity, seed) - image).abs().mean()) for severity in (0.01, 0.3, 0.6, 1)]
        assert errors == sorted(errors) and errors[0] < 0.01 and errors[-1] > 0.02
        result = worse(image, 1, seed)
        assert result.shape == image.shape and result.dtype == torch.float32
        assert result.min() >= 0 and result.max() <= 1
        inside, outside = result[..., size[-1] // 4 : size[-1] // 2].amax(), image.mean()
        assert inside > outside  # the box can still be seen


def test_it_is_mixed_at_random_and_repeats_itself():
    image = picture(SIZES[0])
    kept = image.clone()
    assert worse(image, 1, 5).equal(worse(image, 1, 5))
    assert not worse(image, 1, 5).equal(worse(image, 1, 6))
    assert image.equal(kept)


@pytest.mark.parametrize("severity", [-0.1, 1.1])
def test_severity_is_between_0_and_1(fails, severity):
    with fails(f"severity {severity}", "[0, 1]", error=InputError):
        worse(picture(SIZES[0]), severity, 0)


def phantoms(count=6):
    return Phantoms(PhantomsConfig(count, size=(12, 14, 16)))


def error_of(dataset, plain, index):
    return float((dataset[index].image - plain[index].image).abs().mean())


def test_a_sample_is_degraded_by_its_id_alone():
    plain = phantoms()
    all_of_them, few = Degraded(plain, seed=3), Degraded(phantoms(2), seed=3)
    assert all_of_them[1].image.equal(few[1].image)
    assert not all_of_them[1].image.equal(Degraded(plain, seed=4)[1].image)
    assert len({round(error_of(all_of_them, plain, index), 6) for index in range(6)}) == 6


def test_severity_is_within_its_range():
    plain = phantoms()
    mild, hard = Degraded(plain, (0, 0.1)), Degraded(plain, (0.9, 1))
    assert all(error_of(mild, plain, index) < error_of(hard, plain, index) for index in range(6))
    assert all(error_of(Degraded(plain, (0, 0)), plain, index) == 0 for index in range(6))


def test_the_spec_passes_options_on():
    dataset = open_dataset("degraded:phantoms:?count=2&size=12x14x16&seed=5&severity=0.25..0.5&split=val")
    assert (dataset.severity, dataset.seed) == ((0.25, 0.5), 5)
    inner = open_dataset("phantoms:?count=2&size=12x14x16&seed=5&split=val")
    assert dataset.ids == inner.ids and dataset.label_map(1).equal(inner.label_map(1))
    photos = open_dataset("degraded:scenes:?count=2&size=32x48")
    assert photos.seed == 0 and photos[0].image.shape == (3, 32, 48)


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        ("", ("needs another data set", "degraded:decathlon:ROOT")),
        ("phantoms:?severity=0.5..0.2", ("severity=0.5..0.2", "from 0 to 1")),
        ("phantoms:?severity=0..2", ("severity=0..2", "from 0 to 1")),
        ("phantoms:?spacing=1", ("no option 'spacing'", "severity")),
    ],
)
def test_wrong_specs(fails, spec, texts):
    with fails(*texts, error=InputError):
        open_dataset(f"degraded:{spec}")
