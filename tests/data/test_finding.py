from __future__ import annotations

import os
import random

import pytest
from PIL import Image

from synthcp.data.finding import find_images, find_volumes, group_of, natural_key
from synthcp.errors import DataError


@pytest.fixture
def touch(tmp_path):
    def write(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return write


def found(*inputs):
    return {volume.id: [path.name for path in volume.paths] for volume in find_volumes(inputs)}


def test_folders_are_searched_in_natural_order(touch):
    root = touch("case10.nii.gz", "case9.nii", "b/case1.NII.GZ", "b/notes.txt", "._case9.nii", ".hidden/x.nii.gz")
    assert found(root) == {"b/case1": ["case1.NII.GZ"], "case9": ["case9.nii"], "case10": ["case10.nii.gz"]}
    assert list(found(root)) == ["b/case1", "case9", "case10"]


def test_the_channels_of_a_volume_belong_together(touch):
    root = touch("b_0001.nii.gz", "b_0000.nii.gz", "b_0002.nii.gz", "a_0000.nii.gz", "sub/b_0000.nii.gz")
    expected = {"a": ["a_0000.nii.gz"], "b": [f"b_000{channel}.nii.gz" for channel in range(3)]}
    assert found(root) == {**expected, "sub/b": ["b_0000.nii.gz"]}
    assert found(root / "b_0001.nii.gz", root / "b_0000.nii.gz") == {"b": expected["b"][:2]}


def test_numbers_with_a_gap_are_no_channels(touch):
    root = touch("amos_0004.nii.gz", "amos_0006.nii.gz", "x_0000.nii.gz", "x_0002.nii.gz")
    assert list(found(root)) == ["amos_0004", "amos_0006", "x_0000", "x_0002"]


def test_ids_stay_unique(touch):
    root = touch("one/a.nii", "two/a.nii", "three/a.nii", "three/a.nii.gz", "three/a_0000.nii.gz")
    assert list(found(root / "one", root / "two")) == ["one/a.nii", "two/a.nii"]
    assert list(found(root / "one/a.nii", root / "one")) == ["a"]
    assert len(found(root / "three")) == 3


def images(*inputs):
    return [(image.id, image.paths[0].name) for image in find_images(inputs)]


def test_images_of_known_suffixes_in_sub_folders_without_hidden_files(touch):
    root = touch("b10.PNG", "b9.jpeg", "sub/c.TIF", "sub/d.webp", "e.txt", ".f.png", "._g.jpg", ".cache/h.png")
    assert images(root) == [("b9", "b9.jpeg"), ("b10", "b10.PNG"), ("sub/c", "c.TIF"), ("sub/d", "d.webp")]


def test_files_and_folders_together_count_each_file_once(touch):
    root = touch("day/a.png", "day/b.png", "night.jpg", "c.jfif")
    found = images(root / "night.jpg", root / "day", root / "day/a.png", root / "c.jfif")  # named, whatever its suffix
    assert [name for name, _ in found] == ["a", "b", "c", "night"]


def test_ids_of_images_stay_unique(touch):
    root = touch("n/a.png", "n/a.jpg", "n/b.png", "one/cam/a.png", "two/cam/a.png", "two/cam/b.png")
    assert images(root / "n") == [("a.jpg", "a.jpg"), ("a.png", "a.png"), ("b", "b.png")]
    found = images(root / "one" / "cam", root / "two" / "cam")
    assert [name for name, _ in found] == ["b", "one/cam/a.png", "two/cam/a.png"]


def test_ids_differ_even_when_names_imitate_each_other(touch):
    root = touch("a.png", "a.jpg", "a.png.jpg", "x/a.png", "x/a.png.png", "x.png/a.jpg", "x/a.jpg")
    found = find_images([root, root / "x" / "a.png", root / "x.png"])
    assert len({image.id for image in found}) == len({image.paths for image in found}) == 7


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


@pytest.mark.parametrize(
    ("find", "item", "texts"),
    [
        (find_images, "none", ("no such file or folder",)),
        (find_volumes, "none", ("no such file or folder",)),
        (find_images, "empty", ("holds no image", ".png")),
        (find_volumes, "empty", ("holds no volume", ".nii.gz or .nii")),
        (find_volumes, "empty/notes.txt", ("is no volume", ".nii.gz or .nii")),
    ],
)
def test_what_holds_nothing_is_refused(touch, fails, find, item, texts):
    root = touch("empty/notes.txt")
    with fails(item, *texts, error=DataError):
        find([root / item])


def test_images_behind_links_and_other_jpeg_suffixes_are_found(touch):
    root = touch("in/a.png", "far/b.JFIF", "far/c.jpe")
    (root / "in/far").symlink_to(root / "far")
    assert images(root / "in") == [("a", "a.png"), ("far/b", "b.JFIF"), ("far/c", "c.jpe")]
    assert [name for name, _ in images(root / "in", root / "far")] == ["a", "far/b", "far/c"]  # once, as first found


def test_a_link_to_a_file_is_a_file_of_its_own(touch):
    root = touch("in/a.png")
    (root / "in/b.png").symlink_to("a.png")
    assert [name for name, _ in images(root / "in")] == ["a", "b"]


def test_what_a_folder_holds_besides_is_told(touch, caplog):
    root = touch("a.png", "b.heic", "c.avif")
    find_images([root])
    assert caplog.messages == [f"left out of {root}: 1 .heic (b.heic), 1 .avif (c.avif)"]


def test_later_pages_are_told(tmp_path, caplog):
    first, second = Image.new("RGB", (20, 20)), Image.new("RGB", (20, 20), "red")
    for name in ("a.tif", "b.webp", "c.png"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
    first.save(tmp_path / "d.tiff")
    assert len(find_images([tmp_path])) == 4
    came = f"of 3 files with several images, such as {tmp_path / 'a.tif'}, only the first is read; split the files"
    assert caplog.messages == [came]


def test_a_fifo_is_no_input(tmp_path, fails):
    os.mkfifo(tmp_path / "pipe.png")
    with fails("pipe.png", "is neither a file nor a folder", "check the path", error=DataError):
        find_images([tmp_path / "pipe.png"])
