from __future__ import annotations

import pytest

from synthcp.data.lost_and_found import LostAndFound
from synthcp.errors import DataError


@pytest.fixture
def root(tmp_path, write_pair):
    for split, street, name, kind, values in (
        ("train", "01_Klemm_Str", "000000_000080", "labelIds", (1,)),
        ("test", "04_Weg_8", "000001_000030", "labelIds", (1, 2, 0, 200, 255)),
        ("test", "04_Weg_8", "000000_000230", "labelTrainIds", (2, 1)),
    ):
        image = tmp_path / "leftImg8bit" / split / street / f"{street}_{name}_leftImg8bit.png"
        write_pair(image, tmp_path / "gtCoarse" / split / street / f"{street}_{name}_gtCoarse_{kind}.png", *values)
    return tmp_path


def test_free_road_and_lost_objects(root):
    dataset = LostAndFound(root)
    assert dataset.ids == ["04_Weg_8_000000_000230", "04_Weg_8_000001_000030"]
    first, second = dataset
    assert first.anomaly_mask[:3, 7].tolist() == [True, False, False]
    assert second.anomaly_mask[:6, 7].tolist() == [False, True, False, True, False, False]
    assert second.roi[:6, 7].tolist() == [True, True, False, True, False, False]
    assert second.group == "04_Weg_8" and second.label_map is None
    assert LostAndFound(root, "train").ids == ["01_Klemm_Str_000000_000080"]


def test_label_ids_come_before_train_ids(root, write_label):
    folder = root / "gtCoarse/test/04_Weg_8"
    write_label(folder / "04_Weg_8_000001_000030_gtCoarse_labelTrainIds.png", 2, 2, 2)
    assert LostAndFound(root)[1].anomaly_mask[:3, 0].tolist() == [False, True, False]


def test_missing_parts(root, fails, write_label):
    with fails("no split 'val'", "choose one of train, test", error=DataError):
        LostAndFound(root, "val")
    label = root / "gtCoarse/train/01_Klemm_Str/01_Klemm_Str_000000_000080_gtCoarse_labelIds.png"
    write_label(label, 201)
    with fails("holds the value 201", "anomaly 2 to 200", error=DataError):
        LostAndFound(root, "train")[0]
    label.unlink()
    with fails(f"{label} is missing", "leftImg8bit.png", "_labelTrainIds.png", error=DataError):
        LostAndFound(root, "train")
    (root / "leftImg8bit/test").rename(root / "elsewhere")
    with fails("leftImg8bit/test holds no image", error=DataError):
        LostAndFound(root)
