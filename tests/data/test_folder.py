from __future__ import annotations

import pytest
import torch

from synthcp.data.files import FileDataset, SampleFiles
from synthcp.data.folder import Folder
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


def test_split_layout(tmp_path, fails, write_image, write_label, write_classes):
    for split, name in (("train", "Oslo/a"), ("train", "Oslo/b"), ("val", "Bern/c")):
        write_image(tmp_path / "images" / split / f"{name}.png")
        write_label(tmp_path / "labels" / split / f"{name}.png")
    write_classes(tmp_path)
    assert Folder(tmp_path).ids == ["Oslo/a", "Oslo/b"]
    assert [sample.group for sample in Folder(tmp_path, "val")] == ["Bern"]
    with fails("images has no split 'test'", "choose one of train, val", error=DataError):
        Folder(tmp_path, "test")


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


def test_without_labels_the_samples_are_unlabelled_and_need_classes(flat, fails):
    for label in (flat / "labels").iterdir():
        label.unlink()
    assert Folder(flat)[0].label_map is None
    (flat / "classes.json").unlink()
    with fails("classes.json", "no such file", error=DataError):
        Folder(flat)


def test_a_broken_file_is_named_when_it_is_read(flat, fails):
    (flat / "images" / "park.jpg").write_bytes(b"")
    dataset = Folder(flat)
    assert dataset[0].id == "drive_2"
    with fails("park.jpg", error=DataError):
        dataset[2]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("park.jpg", "JPEG changes values"), ("park.tif", 'PIL.Image.open("park.tif").save("park.png")')],
)
@pytest.mark.parametrize("part", ["labels", "anomalies"])
def test_labels_that_are_no_png_are_told(flat, fails, write_label, name, remedy, part):
    write_label(flat / part / name, 1)
    with fails(f"{part}/{name} is no PNG; labels and masks are", remedy, error=DataError):
        Folder(flat)


def test_two_labels_of_one_image(flat, fails, write_label):
    write_label(flat / "labels" / "park.PNG", 1)
    with fails("labels/park.PNG and ", "park.png could both be of", "park.jpg; keep one", error=DataError):
        Folder(flat)


def test_a_label_file_serves_one_image(flat, fails):
    label = flat / "labels" / "park.png"
    pair = [SampleFiles(name, flat / "images" / f"{name}.jpg", label) for name in ("park", "drive_2")]
    with fails("park.png is the label of ", "drive_2.jpg and of ", "a file serves one image", error=DataError):
        FileDataset(Folder(flat).classes, pair)
    twice = [SampleFiles("park", flat / "images" / f"{name}.jpg") for name in ("park", "drive_2")]
    with fails("are both called park", error=DataError):
        FileDataset(Folder(flat).classes, twice)


def test_half_of_the_images_may_lie_behind_a_link(tmp_path, write_image, write_label, write_classes, caplog):
    root, far = tmp_path / "data", tmp_path / "far"
    for number in range(4):
        for home in (root / "images", far / "images"):
            write_image(home / f"{home.parent.name}_{number}.png")
        for home in (root / "labels", far / "labels"):
            write_label(home / f"{home.parent.name}_{number}.png")
    (root / "images" / "more").symlink_to(far / "images")
    (root / "labels" / "more").symlink_to(far / "labels")
    write_classes(root)
    (root / "images" / "x.heic").touch()
    assert Folder(root).ids == [*(f"data_{n}" for n in range(4)), *(f"more/far_{n}" for n in range(4))]
    assert caplog.messages == [f"left out of {root / 'images'}: 1 .heic (x.heic)"]
