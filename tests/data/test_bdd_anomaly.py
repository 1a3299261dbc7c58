from __future__ import annotations

import pytest

from synthcp.data.bdd_anomaly import BddAnomaly
from synthcp.errors import DataError

VALUES = {
    "train": {"aa-1": (15, 255), "aa-2": (3, 17), "bb-3c": (11,)},
    "val": {"cc-4": (16, 18, 255, 18), "dd-5": (15, 14)},
}


@pytest.fixture
def root(tmp_path, write_pair):
    for folder, images in VALUES.items():
        for name, values in images.items():
            label = tmp_path / "seg" / "labels" / folder / f"{name}_train_id.png"
            write_pair(tmp_path / "seg" / "images" / folder / f"{name}.jpg", label, *values)
    return tmp_path


@pytest.mark.parametrize(
    ("split", "ids"), [("train", ["aa-1", "bb-3c"]), ("val", ["dd-5"]), ("test", ["aa-2", "cc-4"])]
)
def test_images_with_an_anomaly_are_the_test_images(root, split, ids):
    dataset = BddAnomaly(root, split)
    assert dataset.ids == ids
    assert [sample.group for sample in dataset] == [name.partition("-")[0] for name in ids]


def test_sixteen_classes_remain(root):
    dataset = BddAnomaly(root, "test")
    assert len(dataset.classes) == 16
    assert (dataset.classes.names[0], dataset.classes.names[15]) == ("road", "bus")
    sample = dataset[1]
    assert sample.label_map[:5, 3].tolist() == [255, 255, 255, 255, 0]
    assert sample.anomaly_mask[:5, 3].tolist() == [True, True, False, True, False]
    assert not BddAnomaly(root, "train")[0].anomaly_mask.any()


def test_pixels_of_no_class_are_judged_unless_void(root):
    assert BddAnomaly(root, "test")[1].roi.all()
    roi = BddAnomaly(root, "test", unlabeled="void")[1].roi
    assert roi[:5, 3].tolist() == [True, True, False, True, True]


def test_missing_parts(root, fails):
    with fails("no split 'trainval'", "train, val, test", error=DataError):
        BddAnomaly(root, "trainval")
    (root / "seg/labels/val/dd-5_train_id.png").unlink()
    with fails("dd-5_train_id.png is missing", "seg/labels/{train,val}", error=DataError):
        BddAnomaly(root, "test")
    (root / "seg/images/train").rename(root / "elsewhere")
    with fails("images/train holds no image", "NAME.jpg", error=DataError):
        BddAnomaly(root, "train")


def test_a_stray_label(root, fails, write_label):
    path = write_label(root / "seg/labels/val/dd-5_train_id.png", 19)
    with fails(f"{path} holds the value 19", "known is 0 to 18", error=DataError):
        BddAnomaly(root, "val")
