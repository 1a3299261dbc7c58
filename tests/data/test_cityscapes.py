from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from synthcp.data.cityscapes import CLASSES, Cityscapes
from synthcp.data.images import read_image
from synthcp.data.specs import open_dataset
from synthcp.errors import DataError, InputError
from synthcp.training.imperfect_predictions import assign_folds

CITIES = {"train": {"ulm": 3, "aachen": 2, "bremen": 1}, "val": {"munster": 2}}
TRAIN_IDS = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15,
    31: 16, 32: 17, 33: 18,
}  # fmt: skip
ULM = "gtFine/train/ulm/ulm_000001_000019_gtFine_labelIds.png"
"""The label of the fifth image in order."""


@pytest.fixture
def root(tmp_path, write_cityscapes):
    return write_cityscapes(tmp_path, CITIES)


def write_values(path, values):
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)


def test_images_are_in_order_and_grouped_by_city(root):
    dataset = Cityscapes(root)
    names = ("aachen_000000", "aachen_000001", "bremen_000000", "ulm_000000", "ulm_000001", "ulm_000002")
    assert dataset.ids == [f"{name}_000019" for name in names]
    assert [sample.group for sample in dataset] == ["aachen"] * 2 + ["bremen"] + ["ulm"] * 3
    path = root / "leftImg8bit/train/ulm/ulm_000001_000019_leftImg8bit.png"
    assert torch.equal(dataset[4].image, read_image(path))
    assert dataset[4].anomaly_mask is dataset[4].roi is None


def test_every_label_id_against_a_table(root):
    write_values(root / ULM, np.arange(34 * 20).reshape(20, 34) % 34)
    label_map = Cityscapes(root).label_map(4)
    expected = [[TRAIN_IDS.get((34 * row + column) % 34, 255) for column in range(34)] for row in range(20)]
    assert label_map.tolist() == expected
    assert len(CLASSES) == 19 and CLASSES.names[TRAIN_IDS[26]] == "car" and CLASSES.names[TRAIN_IDS[25]] == "rider"
    assert CLASSES.colors[TRAIN_IDS[26]] == (0, 0, 142)


def test_train_ids_are_read_where_there_are_no_label_ids(root):
    path, values = root / ULM, np.arange(20 * 16).reshape(20, 16) % 20
    write_values(path.with_name(path.name.replace("labelIds", "labelTrainIds")), np.where(values == 19, 255, values))
    assert Cityscapes(root).label_map(4).shape == (32, 64)  # the label ids come first
    path.unlink()
    assert Cityscapes(root).label_map(4).tolist() == np.where(values == 19, 255, values).tolist()


def test_test_is_val(root):
    assert Cityscapes(root, "test").ids == Cityscapes(root, "val").ids == [f"munster_00000{n}_000019" for n in (0, 1)]


@pytest.mark.parametrize(("size", "factor"), [("half", 2), ("quarter", 4)])
def test_smaller_images_and_labels(root, size, factor):
    write_values(root / ULM, np.random.default_rng(0).choice([7, 11, 26, 0], (32, 64)))
    whole, small = (open_dataset(f"cityscapes:{root}?size={option}") for option in ("full", size))
    assert small[4].image.shape == (3, 32 // factor, 64 // factor)
    centre = factor // 2
    assert torch.equal(small[4].label_map, whole[4].label_map[centre::factor, centre::factor])
    ramp = Image.fromarray(np.repeat(np.arange(64, dtype=np.uint8)[None] * 3, 32, axis=0)).convert("RGB")
    ramp.save(root / "leftImg8bit/train/ulm/ulm_000001_000019_leftImg8bit.png")
    means = torch.arange(64).reshape(-1, factor).float().mean(dim=1) * 3 / 255  # away from the border, a ramp stays one
    assert torch.allclose(small[4].image[1, 3, 2:-2], means[2:-2], atol=1e-6)


def test_cities_stay_whole_in_folds_by_group(root):
    fold_of = assign_folds(Cityscapes(root).groups, 2, "group")
    assert fold_of == [1, 1, 1, 0, 0, 0]  # ulm 3; aachen 2 and bremen 1
    with pytest.raises(InputError, match="3 groups cannot make 4 folds"):
        assign_folds(Cityscapes(root).groups, 4, "group")


def test_hidden_files_are_left_out(root):
    for name in ("ulm/._ulm_000001_000019_leftImg8bit.png", ".cache/x_000000_000019_leftImg8bit.png"):
        path = root / "leftImg8bit/train" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert len(Cityscapes(root)) == 6


@pytest.mark.parametrize("part", ["gtFine", "leftImg8bit", "gtFine/train", "leftImg8bit/train"])
def test_a_missing_part_names_the_layout(root, fails, part):
    (root / part).rename(root / "elsewhere")
    with fails(f"{root / part} is missing; Cityscapes", "gtFine_trainvaltest.zip", "CITY", error=DataError):
        Cityscapes(root)


@pytest.mark.parametrize(
    ("gone", "alone"),
    [
        ("gtFine/train/ulm", "ulm"),
        ("leftImg8bit/train/bremen", "bremen"),
        (ULM, "ulm/ulm_000001_000019"),
        ("leftImg8bit/train/aachen/aachen_000001_000019_leftImg8bit.png", "aachen/aachen_000001_000019"),
    ],
)
def test_a_city_or_an_image_on_one_side_only(root, fails, gone, alone):
    (root / gone).rename(root / "elsewhere")
    lacks = root / gone.split("/")[0] / "train"
    has = root / ("gtFine" if "leftImg8bit" in gone else "leftImg8bit") / "train"
    with fails(f"{alone} is in {has} but not in {lacks}; Cityscapes", error=DataError):
        Cityscapes(root)


def test_unknown_values_splits_and_sizes(root, fails):
    for folder in ("leftImg8bit", "gtFine"):
        (root / folder / "val" / "munster").rename(root / f"{folder}-munster")
    with fails("leftImg8bit/val holds no image", error=DataError):
        Cityscapes(root, "val")
    with fails("no split 'test_extra'", "train, val, test", error=DataError):
        Cityscapes(root, "test_extra")
    with fails("size=eighth: no such value", "full, half, quarter"):
        open_dataset(f"cityscapes:{root}?size=eighth")
    write_values(root / ULM, np.full((32, 64), 34))
    with fails(f"{root / ULM} holds the value 34", "known is 7, 8, 11 to 13, 17, 19 to 28 or 31", error=DataError):
        Cityscapes(root)[4]
