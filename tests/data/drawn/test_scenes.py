import hashlib
import subprocess
import sys
from collections.abc import Callable
from functools import cache

import pytest
import torch

from synthcp.data.drawn.canvas import Label
from synthcp.data.drawn.scenes import CLASSES, SCENES_PER_DRIVE, SPLITS, UNKNOWN_SHARE, Scenes, ScenesConfig
from synthcp.errors import InputError
from synthcp.records import Sample

COUNT = 60  # each weather once


@cache
def drawn(split: str) -> tuple[Sample, ...]:
    return tuple(Scenes(ScenesConfig(count=COUNT, split=split)))


def shares(split: str) -> torch.Tensor:
    """Share of the pixels per scene and class, shape (scenes, L)."""
    counts = [torch.bincount(s.label_map.flatten(), minlength=256)[: len(CLASSES)] for s in drawn(split)]
    return torch.stack(counts) / drawn(split)[0].label_map.numel()


def test_class_indices_names_and_colors_agree():
    assert [CLASSES.names[label] for label in (Label.SKY, Label.PAVEMENT, Label.SIGN)] == ["sky", "pavement", "sign"]
    assert len(CLASSES.colors) == len(CLASSES) == 9 == len(set(CLASSES.colors))


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_are_a_function_of_seed_split_and_index(split):
    again = Scenes(ScenesConfig(count=1000, split=split))
    for index in (41, 3):
        ours, theirs = drawn(split)[index], again[index]
        assert torch.equal(ours.image, theirs.image) and torch.equal(ours.label_map, theirs.label_map)
        assert (ours.id, ours.group) == (theirs.id, theirs.group)


def test_scenes_do_not_depend_on_the_process():
    program = (
        "from synthcp.data.drawn.scenes import Scenes, ScenesConfig; import hashlib;"
        "print(hashlib.sha256(Scenes(ScenesConfig(split='test'))[5].image.numpy().tobytes()).hexdigest())"
    )
    environment = {"PYTHONHASHSEED": "77", "PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == hashlib.sha256(drawn("test")[5].image.numpy().tobytes()).hexdigest()


def test_no_two_scenes_are_alike_over_indices_splits_and_seeds():
    other_seed = Scenes(ScenesConfig(count=20, seed=1))
    scenes = [sample for split in SPLITS for sample in drawn(split)] + list(other_seed)
    assert len({sample.label_map.numpy().tobytes() for sample in scenes}) == len(scenes)
    assert len({sample.image.numpy().tobytes() for sample in scenes}) == len(scenes)


def test_groups_of_splits_are_disjoint():
    groups = [{sample.group for sample in drawn(split)} for split in SPLITS]
    assert len(set.union(*groups)) == sum(map(len, groups))


def test_a_drive_is_a_run_of_neighbours_that_look_alike():
    groups = [sample.group for sample in drawn("val")]
    assert groups == sorted(groups) and groups.count(groups[0]) == SCENES_PER_DRIVE
    means = torch.stack([sample.image.mean((1, 2)) for sample in drawn("val")]).unflatten(0, (-1, SCENES_PER_DRIVE))
    assert means.var(dim=1).mean() < 0.5 * means.mean(dim=1).var(dim=0).mean()


@pytest.mark.parametrize(
    ("name", "scenes", "least", "most"),
    [
        ("sky", 0.85, 0.05, 0.35),
        ("building", 0.95, 0.15, 0.5),
        ("road", 0.95, 0.15, 0.45),
        ("pavement", 0.95, 0.03, 0.2),
        ("tree", 0.8, 0.03, 0.25),
        ("pole", 0.85, 0.005, 0.05),
        ("car", 0.85, 0.03, 0.2),
        ("person", 0.9, 0.005, 0.05),
        ("sign", 0.7, 0.003, 0.03),
    ],
)
def test_every_class_occurs_often_and_in_a_believable_share(name, scenes, least, most):
    share = shares("train")[:, CLASSES.names.index(name)]
    assert (share > 0).float().mean() >= scenes
    assert least <= share.mean() <= most


def test_sky_is_above_the_road_and_buildings_are_between():
    def mean_row(label: Label) -> float:
        rows = [torch.nonzero(sample.label_map == label)[:, 0] for sample in drawn("train")]
        return float(torch.cat(rows).float().mean())

    assert mean_row(Label.SKY) < mean_row(Label.BUILDING) < mean_row(Label.CAR) < mean_row(Label.ROAD)


def test_unknown_objects_are_in_test_scenes_only():
    for split in ("train", "val"):
        assert not any(sample.anomaly_mask.any() for sample in drawn(split))
    share = sum(bool(sample.anomaly_mask.any()) for sample in drawn("test")) / COUNT
    assert share == pytest.approx(UNKNOWN_SHARE, abs=0.2)
    assert all(sample.anomaly_mask.equal(sample.label_map == 255) for split in SPLITS for sample in drawn(split))


def test_unknown_objects_can_be_left_out():
    with_none = Scenes(ScenesConfig(count=20, split="test", unknowns=False))
    assert not any(sample.anomaly_mask.any() for sample in with_none)


@pytest.mark.parametrize("size", [(64, 96), (144, 192), (97, 131), (16, 16), (160, 48)])
def test_any_size(size):
    sample = Scenes(ScenesConfig(count=1, height=size[0], width=size[1]))[0]
    assert sample.image.shape == (3, *size) and sample.label_map.shape == sample.anomaly_mask.shape == size


def test_a_larger_picture_shows_the_same_scene():
    large = Scenes(ScenesConfig(count=COUNT, height=192, width=256))
    for index in (0, 17):
        small = drawn("train")[index].label_map
        assert (large[index].label_map[::2, ::2] == small).float().mean() > 0.93


def test_negative_indices_count_from_the_end_and_others_fail():
    scenes = Scenes(ScenesConfig(count=12))
    assert scenes[-1].id == "train-0011"
    with pytest.raises(IndexError):
        scenes[12]


@pytest.mark.parametrize(
    ("make", "texts"),
    [
        (lambda: ScenesConfig(split="night"), ("'night'", "train, val, test")),
        (lambda: ScenesConfig(height=15), ("15 x 128", "16 x 16")),
        (lambda: ScenesConfig(count=0), ("count 0", "count >= 1")),
        (lambda: ScenesConfig(seed=-2), ("seed -2", "seed >= 0")),
    ],
)
def test_wrong_config(fails: Callable[..., object], make: Callable[[], ScenesConfig], texts):
    with fails(*texts, error=InputError):
        make()
