from __future__ import annotations

import pytest

from synthcp.data.camvid import CamVid
from synthcp.data.folder import Folder
from synthcp.data.scenes import Scenes
from synthcp.data.specs import open_dataset, with_split
from synthcp.errors import DataError, InputError


def test_camvid_takes_the_split_from_the_spec_before_the_argument(camvid_root):
    dataset = open_dataset(f"camvid:{camvid_root}", "test")
    assert isinstance(dataset, CamVid) and dataset.ids == ["Seq05VD_f1"]
    assert open_dataset(f"camvid:{camvid_root}?split=no_car", "test").ids == ["0016E5_3", "Seq05VD_f1"]


def test_folder(camvid_root):
    dataset = open_dataset(f"folder:{camvid_root}", "test")
    assert isinstance(dataset, Folder) and dataset.ids == ["Seq05VD_f1"]


def test_a_root_may_hold_colons_and_the_home(tmp_path, monkeypatch, write_image, write_classes):
    write_image(tmp_path / "a:b" / "images" / "x.png")
    write_classes(tmp_path / "a:b")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_dataset("folder:~/a:b").ids == ["x"]


def test_scenes_size_is_height_then_width():
    dataset = open_dataset("scenes:?count=3&size=64x96&seed=5")
    assert isinstance(dataset, Scenes) and len(dataset) == 3
    assert dataset[0].image.shape[1:] == (64, 96)


def test_scenes_split_and_seed_pass_through():
    first, again = (open_dataset("scenes?count=2&size=64x96", "val")[1].image for _ in range(2))
    assert first.equal(again)
    assert not first.equal(open_dataset("scenes:?count=2&size=64x96&split=train", "val")[1].image)
    assert not first.equal(open_dataset("scenes:?count=2&size=64x96&seed=9", "val")[1].image)


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        ("camvit:/there", ("'camvit'", "did you mean camvid?", "folder, camvid, scenes")),
        ("", ("choose one of: folder, camvid, scenes",)),
        ("scenes:?cuont=3", ("'cuont'", "did you mean count?", "split, ids, count, seed, size")),
        ("folder:/there?size=3x4", ("'size'", "choose one of: split")),
        ("scenes:?count", ("count has no value",)),
        ("scenes:?count=few", ("count=few", "whole number")),
        ("scenes:?size=64", ("size=64", "HEIGHTxWIDTH")),
        ("scenes:count=3", ("'count=3'", "scenes:?count=40")),
    ],
)
def test_wrong_spec(fails, spec, texts):
    with fails(*texts, error=InputError):
        open_dataset(spec)


@pytest.mark.parametrize("kind", ["folder", "camvid"])
def test_missing_root(fails, kind):
    with fails(f"{kind} needs the folder", f"{kind}:ROOT", error=DataError):
        open_dataset(kind)
    with fails("/not/there: no such folder", error=DataError):
        open_dataset(f"{kind}:/not/there")


@pytest.mark.parametrize(
    ("spec", "other"),
    [
        ("folder:a", "folder:a?split=val"),
        ("folder:a?split=test", "folder:a?split=val"),
        ("scenes:?count=4&split=test&seed=1", "scenes:?count=4&seed=1&split=val"),
    ],
)
def test_the_split_of_a_spec_is_replaced(spec, other):
    assert with_split(spec, "val") == other
