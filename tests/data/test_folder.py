from __future__ import annotations

import random

import pytest
import torch

from synthcp.data.folder import Folder, find_images, group_of, natural_key
from synthcp.data.images import read_image, read_label_map
from synthcp.errors import DataError

NAMES = ("drive_10", "drive_2", "park")


@pytest.fixture
def flat(tmp_path, write_image, write_label, write_classes):
    for value, name in enumerate(NAMES):
        write_image(tmp_path / "images" / f"{name}.jpg", seed=value)
        write_label(tmp_path / "labels" / f"{name}.png", value, value)
    write_classes(tmp_path)
    return tmp_path


def test_flat_layout_pairs_by_id_in_natural_order(flat):
    dataset = Folder(flat, split="test")
    assert dataset.ids == ["drive_2", "drive_10", "park"]
    for sample in dataset:
        assert torch.equal(sample.image, read_image(flat / "images" / f"{sample.id}.jpg"))
        assert torch.equal(sample.label_map, read_label_map(flat / "labels" / f"{sample.id}.png"))
        assert sample.anomaly_mask is None
    assert [sample.group for sample in dataset] == ["drive", "drive", ""]
    assert dataset.classes.names == ("sky", "road", "car")


def test_split_layout(tmp_path, write_image, write_label, write_classes):
    for split, name in (("train", "Oslo/a"), ("train", "Oslo/b"), ("val", "Bern/c")):
        write_image(tmp_path / "images" / split / f"{name}.png")
        write_label(tmp_path / "labels" / split / f"{name}.png")
    write_classes(tmp_path)
    assert Folder(tmp_path).ids == ["Oslo/a", "Oslo/b"]
    assert [sample.group for sample in Folder(tmp_path, "val")] == ["Bern"]


def test_unknown_split_names_those_there_are(tmp_path, fails, write_image, write_classes):
    write_image(tmp_path / "images" / "train" / "a.png")
    write_classes(tmp_path)
    with fails("images has no split 'val'", "choose one of train", error=DataError):
        Folder(tmp_path, "val")


def test_without_labels_the_samples_are_unlabelled(tmp_path, write_image, write_classes):
    write_image(tmp_path / "images" / "a.png")
    write_classes(tmp_path)
    assert Folder(tmp_path)[0].label_map is None


def test_anomaly_masks_are_optional_for_each_image(flat, write_label):
    write_label(flat / "anomalies" / "park.png", 0, 255)
    masks = {sample.id: sample.anomaly_mask for sample in Folder(flat)}
    assert masks["drive_2"] is None
    assert masks["park"].nonzero()[:, 0].unique().tolist() == [1]


def test_missing_label(flat, fails):
    (flat / "labels" / "drive_10.png").unlink()
    with fails("drive_10.jpg has no label", "drive_10.png", error=DataError):
        Folder(flat)


@pytest.mark.parametrize("part", ["labels", "anomalies"])
def test_extra_file_without_image(flat, fails, write_label, part):
    write_label(flat / part / "drive_3.png")
    with fails(f"{part}/drive_3.png has no image", error=DataError):
        Folder(flat)


def test_empty_folder(tmp_path, fails, write_classes):
    write_classes(tmp_path)
    with fails("images: no such folder", error=DataError):
        Folder(tmp_path)
    (tmp_path / "images").mkdir()
    with fails("images holds no image", error=DataError):
        Folder(tmp_path)


def test_without_a_list_of_classes_the_labels_tell_them(flat, fails, write_label):
    (flat / "classes.json").unlink()
    for label in (flat / "labels").iterdir():
        write_label(label, 1, 2, 255)  # and 0
    dataset = Folder(flat)
    assert dataset.classes.names == ("class 0", "class 1", "class 2") and dataset.classes.ignore_index == 255
    write_label(label, 0, 7)
    with fails("labels holds the values 0, 1, 2, 7, 255", "number the classes so", "classes.json", error=DataError):
        Folder(flat)


def test_without_classes_and_labels(flat, fails):
    (flat / "classes.json").unlink()
    for label in (flat / "labels").iterdir():
        label.unlink()
    with fails("classes.json", "no such file", error=DataError):
        Folder(flat)


def test_a_broken_file_is_named_when_it_is_read(flat, fails):
    (flat / "images" / "park.jpg").write_bytes(b"")
    dataset = Folder(flat)
    assert dataset[0].id == "drive_2"
    with fails("park.jpg", error=DataError):
        dataset[2]


@pytest.mark.parametrize(
    ("sample_id", "group"),
    [
        ("0016E5_00390", "0016E5"),
        ("Oslo/drive-2_017", "Oslo/drive-2"),
        ("scan-7", "scan"),
        ("Oslo/night", "Oslo"),
        ("Oslo/_7", "Oslo"),
        ("Seq05VD_f03090", ""),
        ("12", ""),
    ],
)
def test_group_of(sample_id, group):
    assert group_of(sample_id) == group


def test_natural_key_orders_numbers_by_value():
    ordered = ["2", "10", "a", "frame", "frame2", "frame2b", "frame02c", "frame10", "frame10_9", "frame10_11"]
    shuffled = random.Random(1).sample(ordered, len(ordered))
    assert sorted(shuffled, key=natural_key) == ordered


class TestFindImages:
    @pytest.fixture
    def touch(self, tmp_path):
        def touch_file(name):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            return path

        return touch_file

    def test_known_suffixes_in_sub_folders_without_hidden_files(self, tmp_path, touch):
        for name in ("b10.PNG", "b9.jpeg", "sub/c.TIF", "sub/d.webp", "e.txt", ".f.png", "._g.jpg", ".cache/h.png"):
            touch(name)
        found = find_images([tmp_path])
        assert [image.id for image in found] == ["b9", "b10", "sub/c", "sub/d"]
        assert [image.path.name for image in found] == ["b9.jpeg", "b10.PNG", "c.TIF", "d.webp"]

    def test_files_and_folders_together_count_each_file_once(self, tmp_path, touch):
        single = touch("day/a.png")
        touch("day/b.png")
        touch("night.jpg")
        found = find_images([tmp_path / "night.jpg", tmp_path / "day", single])
        assert [image.id for image in found] == ["a", "b", "night"]

    def test_shared_stem_keeps_the_suffix(self, tmp_path, touch):
        for name in ("a.png", "a.jpg", "b.png"):
            touch(name)
        found = find_images([tmp_path])
        assert [(image.id, image.path.name) for image in found] == [
            ("a.jpg", "a.jpg"),
            ("a.png", "a.png"),
            ("b", "b.png"),
        ]

    def test_shared_name_of_two_inputs_keeps_the_folders(self, tmp_path, touch):
        for name in ("one/cam/a.png", "two/cam/a.png", "two/cam/b.png"):
            touch(name)
        found = find_images([tmp_path / "one" / "cam", tmp_path / "two" / "cam"])
        assert [image.id for image in found] == ["b", "one/cam/a.png", "two/cam/a.png"]

    def test_ids_differ_even_when_names_imitate_each_other(self, tmp_path, touch):
        for name in ("a.png", "a.jpg", "a.png.jpg", "x/a.png", "x/a.png.png", "x.png/a.jpg", "x/a.jpg"):
            touch(name)
        found = find_images([tmp_path, tmp_path / "x" / "a.png", tmp_path / "x.png"])
        assert len({image.id for image in found}) == len({image.path for image in found}) == 7

    def test_a_named_file_is_taken_whatever_its_suffix(self, touch):
        assert [image.id for image in find_images([touch("a.jfif")])] == ["a"]

    def test_missing_input(self, tmp_path, fails):
        with fails("nowhere", "no such file or folder", error=DataError):
            find_images([tmp_path / "nowhere"])

    def test_folder_without_images(self, tmp_path, fails, touch):
        with fails("words holds no image", ".png", error=DataError):
            find_images([touch("words/a.txt").parent])
