from __future__ import annotations

import pytest
from scipy.ndimage import label

from synthcp.data.drawn.phantoms import LESION, ORGAN, Phantoms, PhantomsConfig
from synthcp.data.specs import open_dataset
from synthcp.errors import InputError


@pytest.fixture(scope="module")
def volumes():
    return list(Phantoms(PhantomsConfig(count=40, size=(20, 24, 18))))


def test_a_volume_has_an_organ_in_one_piece_and_mostly_a_lesion(volumes):
    lesions = [int((sample.label_map == LESION).sum()) for sample in volumes]
    assert 2 <= lesions.count(0) <= 14 and max(lesions) > 8 * sorted(lesions)[20] ** 0.5
    for sample in volumes:
        assert sample.image.shape == (1, 20, 24, 18) and sample.label_map.shape == (20, 24, 18)
        assert (sample.label_map == ORGAN).any()
        _, pieces = label(sample.label_map.numpy() > 0)
        assert pieces <= 2  # the warp may cut a corner off


def test_lesions_are_darker_or_brighter_and_some_hardly_differ(volumes):
    contrasts = []
    for sample in volumes:
        organ, lesion = (sample.image[0][sample.label_map == part] for part in (ORGAN, LESION))
        if len(lesion) > 20:
            contrasts.append(float(lesion.mean() - organ.mean()))
    assert min(contrasts) < -0.15 and max(contrasts) > 0.15
    assert sum(abs(contrast) < 0.05 for contrast in contrasts) >= 4


def test_the_organ_can_be_seen(volumes):
    gaps = [float(s.image[0][s.label_map == ORGAN].mean() - s.image[0][s.label_map == 0].mean()) for s in volumes]
    assert sum(gap > 0.08 for gap in gaps) >= 36


def test_a_volume_depends_on_seed_split_and_number_alone():
    def third(**settings):
        return Phantoms(PhantomsConfig(**{"count": 3, "size": (10, 9, 8), **settings}))[2]

    first = third()
    assert first.image.equal(third(count=9).image) and first.label_map.equal(third(count=9).label_map)
    assert not first.image.equal(third(seed=1).image)
    assert not first.image.equal(third(split="test").image)


def test_the_spec_has_its_size_in_the_order_of_the_axes():
    dataset = open_dataset("phantoms:?count=2&size=10x12x14&seed=3", "test")
    assert isinstance(dataset, Phantoms) and dataset.config == PhantomsConfig(2, (10, 12, 14), 3, "test")
    assert dataset[1].image.shape == (1, 10, 12, 14) and dataset.ids == ("test-0000", "test-0001")


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        ("phantoms:?size=16x16", ("size=16x16", "XxYxZ", "32x32x24")),
        ("phantoms:?size=16x16x4", ("16x16x4", "at least 8x8x8")),
        ("phantoms:?count=0", ("count 0", ">= 1")),
        ("phantoms:?split=night", ("'night'", "train, val, test")),
    ],
)
def test_wrong_specs(fails, spec, texts):
    with fails(*texts, error=InputError):
        open_dataset(spec)
