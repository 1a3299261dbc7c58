from __future__ import annotations

import pytest

from synthcp.data.camvid import CamVid
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.folder import Folder
from synthcp.data.specs import DATASETS, full_spec, name_of, open_dataset, with_split
from synthcp.errors import DataError, InputError
from synthcp.verbs.given import open_data


def test_the_split_of_the_spec_comes_before_the_argument(camvid_root):
    for kind, opened in (("camvid", CamVid), ("folder", Folder)):
        dataset = open_dataset(f"{kind}:{camvid_root}", "test")
        assert isinstance(dataset, opened) and dataset.ids == ["Seq05VD_f1"]
    assert open_dataset(f"camvid:{camvid_root}?split=no_car", "test").ids == ["0016E5_3", "Seq05VD_f1"]


def test_a_root_may_hold_colons_and_the_home(tmp_path, monkeypatch, write_image, write_classes):
    write_image(tmp_path / "a:b" / "images" / "x.png")
    write_classes(tmp_path / "a:b")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_dataset("folder:~/a:b").ids == ["x"]


def test_options_reach_the_scenes():
    dataset = open_dataset("scenes:?count=3&size=64x96&seed=5", "val")
    assert isinstance(dataset, Scenes) and dataset.config == ScenesConfig(3, 64, 96, 5, "val")
    assert open_dataset("scenes?split=train", "val").config == ScenesConfig()


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        ("camvit:/there", ("no such folder", "'camvit'", "did you mean camvid?", "folder, camvid, cityscapes, scenes")),
        ("~nobody/x", ("no such folder", "'~nobody/x'")),
        ("", ("choose one of: folder, camvid, cityscapes, scenes",)),
        ("scenes:?cuont=3", ("'cuont'", "did you mean count?", "split, ids, count, seed, size")),
        ("folder:/there?size=3x4", ("'size'", "choose one of: split")),
        ("scenes:?count", ("count has no value",)),
        ("scenes:?count=few", ("count=few", "whole number")),
        ("scenes:?count=1000001", ("count=1000001", "a whole number from 0 to 1000000")),
        (f"scenes:?count={'9' * 5000}", ("count=999", "a whole number from 0 to 1000000")),
        ("phantoms:?seed=4294967296", ("seed=4294967296", "a whole number from 0 to 4294967295")),
        ("scenes:?size=99999x99999", ("size=99999x99999", "HEIGHTxWIDTH of at most 100000000 in all")),
        (f"phantoms:?size={'9' * 5000}x1x1", ("size=999", "XxYxZ")),
        ("scenes:?size=64", ("size=64", "HEIGHTxWIDTH")),
        ("degraded:" * 500 + "scenes:", ("SPEC 'degraded:degraded:", "more than 50 parts", "at most a few")),
        ("degraded:phantoms:?severity=1", ("severity=1:", "LOW..HIGH")),
        ("scenes:count=3", ("'count=3'", "scenes:?seed=1")),
        ("streethazards:/there?unlabeled=viod", ("unlabeled=viod", "did you mean void?", "known, void")),
        ("streethazards:/there?other=no", ("other=no", "choose one of: known, void")),
        ("bdd_anomaly:/there?other=void", ("no option 'other'", "split, ids, unlabeled")),
        ("fishyscapes:/there?images=/nowhere", ("/nowhere: no such folder", "images=")),
    ],
)
def test_wrong_spec(fails, spec, texts):
    with fails(*texts, error=InputError):
        open_dataset(spec)


def test_a_data_set_that_will_not_do_ends_with_one_line(tmp_path, synthcp, write_pair):
    write_pair(tmp_path / "images/a.png", tmp_path / "labels_masks/a_labels_semantic.png", 1)
    for spec, text in (
        (f"smiyc:{tmp_path}", "no split 'train'"),
        (f"smiyc:{tmp_path}?split=val", "a has no label map"),
        (f"streethazards:{tmp_path}", "train/images/training is missing"),
        (f"heldout:smiyc:{tmp_path}?split=val&classes=car", "no class 'car' to hold out"),
    ):
        ended = synthcp("fit", "--data", spec, "--out", tmp_path / "run", "--scale", "tiny")
        assert ended.code == 2 and len(ended.stderr) == 1 and text in ended.stderr[0]


@pytest.mark.parametrize(
    "kind", [kind for kind in DATASETS if kind not in ("scenes", "phantoms", "heldout", "degraded")]
)
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


def test_a_folder_is_opened_as_the_kind_that_it_shows_and_the_kind_is_told_and_kept(camvid_root, caplog):
    dataset, facts = open_data(f"{camvid_root}?split=test", "train")
    assert isinstance(dataset, CamVid) and dataset.ids == ["Seq05VD_f1"]
    assert facts == {"data": f"camvid:{camvid_root}?split=test", "split": "test"}
    told = f"{camvid_root} is read as camvid:{camvid_root}, for it holds images/, labels/, splits/ and classes.json"
    assert set(caplog.messages) == {told}


def test_a_folder_within_another_spec_and_below_the_home_is_recognised(camvid_root, monkeypatch):
    monkeypatch.setenv("HOME", str(camvid_root.parent))
    home = f"~/{camvid_root.name}"
    assert full_spec(f"heldout:degraded:{home}?classes=car") == f"heldout:degraded:camvid:{home}?classes=car"
    assert open_dataset(f"heldout:{home}?classes=car").classes.names == ("sky", "road")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("folder:data/street?split=val", "street"),
        ("scenes:?count=3", "scenes"),
        ("heldout:degraded:camvid:data/CamVid/?classes=car", "CamVid"),
        ("folder:.", "here"),
        ("folder:/", "folder"),
    ],
)
def test_the_name_of_what_is_made_of_data(spec, name, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert name_of(spec) == name


def test_a_folder_of_no_known_layout_is_refused(tmp_path, fails):
    (tmp_path / "pictures").mkdir()
    with fails(f"{tmp_path} has the layout of no kind", "cityscapes: leftImg8bit/ and gtFine/;", "write KIND:"):
        open_dataset(f"{tmp_path}?split=val")


def test_a_folder_that_could_be_of_two_kinds_is_never_guessed(tmp_path, write_pair, write_classes, fails):
    write_pair(tmp_path / "images/a.png", tmp_path / "labels/a.png", 0, 1)
    with fails("several kinds of data", f"say which it is: folder:{tmp_path} or road_anomaly:{tmp_path}"):
        open_dataset(str(tmp_path))
    write_pair(tmp_path / "images/a.png", tmp_path / "labels/a.png", 0, 2)  # no masks
    assert full_spec(str(tmp_path)) == f"folder:{tmp_path}"
    write_pair(tmp_path / "images/a.png", tmp_path / "labels/a.png", 0, 1)
    write_classes(tmp_path)  # masks have no classes
    assert full_spec(str(tmp_path)) == f"folder:{tmp_path}"


def test_a_damaged_description_is_told_by_its_name(tmp_path, fails):
    (tmp_path / "dataset.json").write_text("{")
    with fails(f"{tmp_path / 'dataset.json'}", error=DataError):
        full_spec(str(tmp_path))
