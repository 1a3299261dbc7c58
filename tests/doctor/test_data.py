from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.folder import SPLITS
from synthcp.doctor.base import Finding
from synthcp.doctor.data import FEWEST, SHOWN, check_data, check_splits, in_leaps, look_at
from synthcp.errors import DataError


@pytest.fixture
def check(monkeypatch, findings):
    """Findings of a data set by name, without those of its splits."""
    monkeypatch.setattr("synthcp.doctor.data.check_splits", lambda spec: [])
    return lambda dataset, **options: findings(check_data, dataset, **options)


def test_pixels_are_counted_as_by_a_loop():
    scenes = Scenes(ScenesConfig(count=3, height=48, width=64, split="test"))
    seen, unusable = look_at(scenes)
    assert unusable == [] and len(seen) == 3
    for sample, one in zip(scenes, seen, strict=True):
        labels = range(256)
        assert {label: one.pixels[label] for label in labels} == {
            label: int((sample.label_map == label).sum()) for label in labels
        }
        assert (one.id, one.shape, one.oddity) == (sample.id, (3, 48, 64), "")
        assert (one.low, one.high) == (float(sample.image.min()), float(sample.image.max()))


def test_shares_are_of_the_pixels_with_a_class(check, held, sample):
    found = check(held([sample("a", 1, 1, 255, 255), sample("b", 2), sample("c", 1, 255)]))
    assert found["class sky"].what == "91.11% of the pixels, in 3 of 3 images"  # 12 + 15 + 14 of 45 rows
    assert found["class road"].what == "6.67% of the pixels, in 2 of 3 images"
    assert found["class car"].what == "2.22% of the pixels, in 1 of 3 images"
    assert found["ignored"].what == "6.25% of the pixels have no class (value 255)"  # 3 of 48 rows
    assert found["images"] == Finding("images", "good", "3 images; 3 channels; 4 classes; size 16x20")


def test_a_class_that_never_occurs_is_noted(check, held, sample):
    found = check(held([sample("a", 1, 2), sample("b", 2)]))
    assert [name for name, finding in found.items() if finding.state == "note"] == ["class tram", "groups"]
    assert "never occurs in 2 images" in found["class tram"].what and "--all" not in found["class tram"].remedy


def test_of_some_images_only_no_class_is_given_up(check, held, sample, monkeypatch):
    monkeypatch.setattr("synthcp.doctor.data.LOOKED_AT", 2)
    four = held([sample("a", 1), sample("b", 2), sample("c", 3), sample("d", 1)])
    found = check(four)
    assert found["images"].what.startswith("4 images, 2 of them looked at;")
    assert found["class road"].state == "good" and found["class car"].state == "note"  # a and c are looked at
    assert found["class car"].remedy == "look at all images with --all"
    assert check(four, every_image=True)["class car"].what.endswith("in 1 of 4 images")


def test_after_some_seconds_no_more_images_are_looked_at_and_those_that_were_are_spread(held, sample, monkeypatch):
    many = held([sample(f"{index:02d}", 1) for index in range(64)])
    seconds = iter(range(1000))
    monkeypatch.setattr("synthcp.doctor.data.time.monotonic", lambda: next(seconds))  # one for each image
    leaps = in_leaps(many)
    seen, unusable = look_at(leaps, 11)  # and never fewer than FEWEST
    assert len(seen) == FEWEST + 11 and not unusable
    monkeypatch.setattr("synthcp.doctor.data.time.monotonic", lambda: 0.0)
    assert [one.id for one in look_at(many)[0]] == many.ids
    assert sorted(leaps.ids) == many.ids and sorted(leaps.ids[:8]) == many.ids[::8]
    assert list(in_leaps(held([sample("a")])).ids) == ["a"] and len(in_leaps(held([sample(i) for i in "abcde"]))) == 5


def test_errors_are_one_line_each_and_the_others_are_counted(check, held, sample):
    good, stray = sample("good", 1), sample("stray", 1, 77)
    broken = [DataError(f"{name}.png is empty; write it again") for name in "uvwxyz"]
    findings = check(held([stray, *broken, good]))
    assert findings["image stray"].state == "bad" and "label 77 in stray" in findings["image stray"].what
    first = findings["image broken-1"]
    assert (first.what, first.remedy) == ("u.png is empty", "write it again")
    assert sum(name.startswith("image ") for name in findings) == SHOWN
    assert findings["other images"].what == "2 more cannot be used either"
    assert findings["class road"].what.endswith("in 1 of 1 images")


def test_labels_of_another_size_and_mixed_channels(check, held, sample):
    odd, grey = sample("odd", 1), sample("grey", 1)
    odd = replace(odd, label_map=odd.label_map[:-1])
    found = check(held([sample("good", 1), odd, replace(grey, image=grey.image[:1])]))
    assert "its label map (15, 20)" in found["image odd"].what
    assert "the image has 1 channels, the first of the data set 3" in found["image grey"].what


def test_images_without_labels_are_one_line(check, held, sample):
    bare = [replace(sample(name), label_map=None) for name in "abcdefgh"]
    found = check(held([*bare, sample("i", 1)]))
    assert found["labels"].what == "8 images without a label map, such as a" and found["labels"].state == "bad"
    only_bare = check(held(bare))
    assert not any(name.startswith("class") or name == "ignored" for name in only_bare)


@pytest.mark.parametrize(("rows", "state"), [(16, "bad"), (9, "note"), (8, "good")])
def test_many_ignored_pixels(check, held, sample, rows, state):
    found = check(held([sample("a", *[255] * rows)]))
    assert found["ignored"].state == state and f"{rows / 16:.2%}" in found["ignored"].what


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda image: image / 255, "no value above 1/255"),
        (lambda image: torch.full_like(image, 0.7), "nearly one value"),
        (lambda image: image * 255, "values outside [0, 1]"),
        (lambda image: image - 0.5, "values outside [0, 1]"),
        (lambda image: image * torch.nan, "values outside [0, 1]"),
    ],
)
def test_odd_values(check, held, sample, change, what):
    good, odd = [sample(name, 1, 2, 3) for name in "abc"], sample("odd", 1, 2, 3)
    odd = replace(odd, image=change(odd.image))
    finding = check(held([*good, odd]))["values"]
    assert finding.state == "note" and finding.what.startswith(what) and "in 1 of 4 images, such as odd" in finding.what
    assert check(held([odd]))["values"].state == "bad"


def test_good_values_are_told(check, held, sample):
    one = replace(sample("a", 1, 2), image=torch.linspace(0.1, 0.8, 3 * 16 * 20).view(3, 16, 20))
    finding = check(held([one]))["values"]
    assert (finding.state, finding.what) == ("good", "0.10 to 0.80, none of the images flat")


def test_groups_are_compared_with_the_folds_of_the_scale(check, held, sample):
    three = held([sample(f"{number}", 1, group=group) for number, group in enumerate("aabbbc")])
    assert check(three, scale="tiny")["groups"].what == "3 groups of images, enough for 2 folds of whole groups"
    found = check(three, scale="small")["groups"]
    assert found.state == "note" and found.what == "3 groups, too few for 4 folds of whole groups"


def test_several_sizes_are_noted(check, held, sample):
    found = check(held([sample("a", 1, size=16), sample("b", 1, size=32), sample("c", 1, size=24)]))["images"]
    assert found.state == "note" and found.what.endswith("3 sizes, 16x20 to 32x36")


def test_splits_are_counted_and_share_nothing():
    assert check_splits("scenes:?count=3&size=48x64&split=val") == [
        Finding(f"split {split}", "good", "3 images") for split in ("train", "val", "test")
    ]


def test_a_split_that_does_not_open_is_noted(tmp_path):
    findings = check_splits(f"folder:{tmp_path}")
    assert [(finding.name, finding.state) for finding in findings] == [
        (f"split {split}", "note") for split in ("train", "val", "test")
    ]


@pytest.fixture
def splits(monkeypatch, held):
    """Plant the samples of each split."""

    def plant(**samples):
        monkeypatch.setattr("synthcp.doctor.data.open_dataset", lambda spec: held(samples[spec.partition("split=")[2]]))

    return plant


@pytest.mark.parametrize(
    ("train", "val", "test", "state", "what", "remedy"),
    [
        ("ab", "cb", "d", "bad", "train and val share 1 id, such as b, the same image", "take the images out of"),
        ("a", "b", "cA", "note", "train and test share 1 id, such as a, another image", "give every image a name"),
        ("a", "bc", "bc", "note", "val and test are the same images", "calibrate and choose on other images"),
        ("ab", "ab", "ab", "note", "none: every split is all the images", "put the images into train/, val/"),
    ],
)
def test_splits_that_share_images(splits, sample, train, val, test, state, what, remedy):
    """Letters are ids; "A" is another image than "a"."""
    images = {name: sample(name.lower(), number) for number, name in enumerate("aAbcd")}
    splits(**{split: [images[name] for name in names] for split, names in zip(SPLITS, (train, val, test), strict=True)})
    (finding,) = (finding for finding in check_splits("held:") if finding.name == "splits")
    assert (finding.state, finding.what) == (state, what) and finding.remedy.startswith(remedy)


def test_an_image_too_long_to_learn_from_is_told():
    class Narrow(Scenes):
        def __getitem__(self, index):
            return replace(super().__getitem__(index), image=torch.rand(3, 16, 600 if index else 100), label_map=None)

    seen, unusable = look_at(Narrow(ScenesConfig(count=2, height=48, width=64)))
    assert len(seen) == 1 and "(16, 600), more than 32 times as long as wide" in unusable[0].what
