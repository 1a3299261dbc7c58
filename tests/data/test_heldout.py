from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
import torch

from synthcp.data.base import Dataset
from synthcp.data.heldout import HeldOutClasses
from synthcp.data.specs import open_dataset
from synthcp.errors import DataError, InputError
from synthcp.records import Classes, Sample

CLASSES = Classes(("sky", "road", "dog", "car", "cat"), tuple((index, 9, 9) for index in range(5)), ignore_index=-7)
SKY, ROAD, DOG, CAR, CAT, NONE = 0, 1, 2, 3, 4, -7
MAPS = {
    "plain": [[SKY, ROAD, CAR], [CAR, NONE, NONE]],
    "one dog": [[SKY, DOG, CAR], [CAR, ROAD, NONE]],
    "cats": [[CAT, CAT, CAR], [CAT, ROAD, NONE]],
    "two dogs": [[DOG, DOG, CAT], [SKY, ROAD, ROAD]],
}


@dataclass
class Animals(Dataset):
    """The label maps above; it counts how often each is read."""

    ids: tuple[str, ...] = tuple(MAPS)
    classes: Classes = CLASSES
    read: Counter[str] = field(default_factory=Counter)
    mask: torch.Tensor | None = None

    def __getitem__(self, index):
        sample_id = self.ids[index]
        self.read[sample_id] += 1
        return Sample(sample_id, torch.zeros(3, 2, 3), torch.tensor(MAPS[sample_id]), self.mask, roi=self.mask)


def test_training_images_hold_not_one_pixel_of_the_classes():
    assert HeldOutClasses(Animals(), ["dog"]).ids == ["plain", "cats"]
    assert HeldOutClasses(Animals(), ["cat"], "train_small").ids == ["plain", "one dog"]
    assert HeldOutClasses(Animals(), ["cat", "dog"]).ids == ["plain"]


def test_the_other_classes_are_renumbered():
    dataset = HeldOutClasses(Animals(), ["dog", "sky"], "test")
    assert dataset.classes.names == ("road", "car", "cat") and dataset.classes.ignore_index == -7
    assert dataset.classes.colors == ((1, 9, 9), (3, 9, 9), (4, 9, 9))
    assert dataset[3].label_map.tolist() == [[-7, -7, 2], [-7, 0, 0]]
    assert dataset.label_map(1).tolist() == [[-7, -7, 1], [1, 0, -7]]


def test_their_pixels_are_the_anomaly_outside_training():
    dataset = HeldOutClasses(Animals(), ["dog"], "val")
    assert dataset.ids == list(MAPS)
    assert dataset[1].anomaly_mask.tolist() == [[False, True, False], [False, False, False]]
    assert not dataset[0].anomaly_mask.any()
    assert HeldOutClasses(Animals(), ["dog"])[0].anomaly_mask is None


def test_anomalies_of_the_data_set_stay():
    mask = torch.tensor([[False, False, False], [False, False, True]])
    sample = HeldOutClasses(Animals(mask=mask), ["dog"], "test")[1]
    assert sample.anomaly_mask.tolist() == [[False, True, False], [False, False, True]]
    assert sample.roi.equal(mask)


def test_leaving_out_pixels_keeps_every_training_image_unread():
    animals = Animals()
    dataset = HeldOutClasses(animals, ["dog"], leave="pixels")
    assert dataset.ids == list(MAPS) and not animals.read
    assert dataset[1].label_map.tolist() == [[0, -7, 2], [2, 1, -7]] and dataset[1].anomaly_mask is None
    assert HeldOutClasses(Animals(), ["dog"], "test", leave="pixels")[1].anomaly_mask.sum() == 1


def test_each_label_is_read_once_to_choose_the_images():
    for split in ("train", "test"):
        animals = Animals()
        HeldOutClasses(animals, ["dog", "cat"], split, with_anomaly=1)
        assert animals.read == dict.fromkeys(MAPS, 1)


@pytest.mark.parametrize(
    ("least", "ids"), [(1, ["one dog", "cats", "two dogs"]), (2, ["cats", "two dogs"]), (3, ["cats", "two dogs"])]
)
def test_images_with_enough_of_the_anomaly(least, ids):
    assert HeldOutClasses(Animals(), ["dog", "cat"], "test", with_anomaly=least).ids == ids


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        (["dgo"], ("no class 'dgo'", "did you mean dog?", "sky, road, dog, car, cat")),
        (["cat", "dog", "cat"], ("class cat is to be held out twice",)),
        (["cat", "dog", "sky", "car", "road"], ("5 of 5 classes", "needs 2 or more")),
        (["cat", "dog", "sky", "car"], ("4 of 5 classes",)),
    ],
)
def test_wrong_names(fails, names, texts):
    with fails(*texts, error=InputError):
        HeldOutClasses(Animals(), names)


@pytest.mark.parametrize(
    ("animals", "names", "split", "least", "texts"),
    [
        (Animals(), ["road"], "train", 0, ("every training image of the 4 (plain and on) holds road", "leave=pixels")),
        (Animals(ids=("one dog",)), ["dog", "cat"], "test", 0, ("no image of the 1 (one dog and on) holds cat",)),
        (Animals(), ["dog"], "test", 4, ("no image of the 4", "holds 4 pixels of dog", "the most are 2")),
    ],
)
def test_no_image_remains(fails, animals, names, split, least, texts):
    with fails(*texts, error=DataError):
        HeldOutClasses(animals, names, split, with_anomaly=least)


def test_unlabelled_images(tmp_path, fails, write_image, write_classes):
    write_image(tmp_path / "images" / "a.png")
    write_classes(tmp_path)
    with fails("a has no label map", error=DataError):
        open_dataset(f"heldout:folder:{tmp_path}?classes=car")


def test_spec(camvid_root):
    """The label map of the sequence 0016E5 alone holds cars."""
    spec = f"heldout:camvid:{camvid_root}?classes=car"
    assert open_dataset(spec).ids == ["0006R0_f9", "0006R0_f10"]
    assert open_dataset(f"{spec}&leave=pixels").ids == ["0006R0_f9", "0006R0_f10", "0016E5_3"]
    dataset = open_dataset(f"{spec}&with_anomaly=3", "no_car")
    assert dataset.ids == ["0016E5_3"] and dataset.classes.names == ("sky", "road")
    assert open_dataset(f"{spec}&split=no_car", "train").ids == ["0016E5_3", "Seq05VD_f1"]


def test_a_spec_within_keeps_its_options(camvid_root):
    (camvid_root / "some.txt").write_text("0006R0_f10\n0016E5_3\n")
    spec = f"heldout:camvid:{camvid_root}?ids={camvid_root}/some.txt&classes=car"
    assert open_dataset(spec).ids == ["0006R0_f10"]
    scenes = open_dataset("heldout:scenes:?count=3&size=32x48&classes=sky, tree&split=test")
    assert scenes.classes.names[:2] == ("building", "road") and len(scenes) == 3


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        ("scenes:", ("heldout needs", "heldout:camvid:ROOT?classes=Bicyclist")),
        ("scenes:?classes=,", ("heldout needs",)),
        ("scenes:?classes=car&leave=image", ("leave=image", "did you mean images?")),
        ("scenes:?classes=car&with_anomaly=some", ("with_anomaly=some", "whole number")),
        ("smiyc:x?clases=car", ("'clases'", "did you mean classes?", "split, ids, classes, leave, with_anomaly")),
        ("camvit:/there?classes=car", ("no data set kind 'camvit'", "did you mean camvid?")),
        ("?classes=car", ("heldout needs",)),
    ],
)
def test_wrong_spec(fails, spec, texts):
    with fails(*texts, error=InputError):
        open_dataset(f"heldout:{spec}")
