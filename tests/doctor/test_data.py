from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthcp.config.scales import SCALES
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.doctor.data import SHOWN, check_data, check_splits, take_census
from synthcp.doctor.findings import Finding
from synthcp.errors import DataError

TINY, SMALL = SCALES["tiny"], SCALES["small"]


@pytest.fixture
def check(monkeypatch):
    """Findings of a data set by name, without those of its splits."""
    monkeypatch.setattr("synthcp.doctor.data.check_splits", lambda spec: [])

    def check(dataset, scale=TINY, limit=200):
        findings = check_data("held", dataset, scale, limit)
        assert not any("\n" in finding.what + finding.remedy for finding in findings)
        return {finding.name: finding for finding in findings}

    return check


def test_classes_are_counted_as_by_a_loop():
    scenes = Scenes(ScenesConfig(count=3, height=48, width=64, split="test"))
    census = take_census(scenes)
    for label in range(len(scenes.classes)):
        counts = [int((sample.label_map == label).sum()) for sample in scenes]
        assert (census.pixels[label], census.images[label]) == (sum(counts), sum(count > 0 for count in counts))
    assert census.ignored == sum(int((sample.label_map == 255).sum()) for sample in scenes) > 0
    assert census.low == min(float(sample.image.min()) for sample in scenes)
    assert census.high == max(float(sample.image.max()) for sample in scenes)


def test_shares_are_of_the_pixels_with_a_class(check, held, sample):
    found = check(
        held(
            [sample("a", 1, 1, 255, 255), sample("b", 2), sample("c", 1, 255)],
        )
    )
    assert found["class sky"].what == "91.11% of the pixels, in 3 of 3 images"  # 12 + 15 + 14 of 45 rows
    assert found["class road"].what == "6.67% of the pixels, in 2 of 3 images"
    assert found["class car"].what == "2.22% of the pixels, in 1 of 3 images"
    assert found["ignored"].what == "6.25% of the pixels have no class (value 255)"  # 3 of 48 rows
    assert found["images"] == Finding("images", "good", "3 images; 3 channels; 4 classes; size 16x20")


def test_a_class_that_never_occurs_is_noted(check, held, sample):
    found = check(held([sample("a", 1, 2), sample("b", 2)]))
    assert [name for name, finding in found.items() if finding.state == "note"] == ["class tram", "groups"]
    assert "never occurs in 2 images" in found["class tram"].what and "--all" not in found["class tram"].remedy


def test_of_some_images_only_no_class_is_given_up(check, held, sample):
    found = check(held([sample("a", 1), sample("b", 2), sample("c", 3), sample("d", 1)]), limit=2)
    assert found["images"].what.startswith("4 images, 2 of them looked at;")
    assert found["class road"].state == "good" and found["class car"].state == "note"  # a and c are looked at
    assert found["class car"].remedy == "look at all images with --all"
    assert "class car" in check(held([sample("a", 1), sample("b", 2)]), limit=None)


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
    assert "1/3 channels" in found["images"].what


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
    assert check(three, TINY)["groups"].what == "3 groups of images, enough for 2 folds of whole groups"
    found = check(three, SMALL)["groups"]
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


def test_the_same_image_in_two_splits_is_bad(splits, sample):
    a, b, c, d = (sample(name, number) for number, name in enumerate("abcd"))
    splits(train=[a, b], val=[c, b], test=[d])
    (finding,) = check_splits("held:")[3:]
    assert finding.state == "bad" and finding.what == "train and val share 1 id, such as b, the same image"
    assert finding.remedy == "take the images out of train or val"


def test_an_id_of_two_images_is_noted(splits, sample):
    splits(train=[sample("a", 1)], val=[sample("b", 2)], test=[sample("c", 1), sample("a", 2)])
    (finding,) = check_splits("held:")[3:]
    assert finding.state == "note" and finding.what == "train and test share 1 id, such as a, another image"


def test_two_splits_of_the_same_images_are_noted(splits, sample):
    a, b, c = (sample(name, number) for number, name in enumerate("abc"))
    splits(train=[a], val=[b, c], test=[b, c])
    (finding,) = check_splits("held:")[3:]
    assert (finding.state, finding.what) == ("note", "val and test are the same images")


def test_a_folder_without_splits_is_noted_once(splits, sample):
    both = [sample("a", 1), sample("b", 2)]
    splits(train=both, val=both, test=both)
    (finding,) = check_splits("held:")
    assert finding.state == "note" and "every split is all the images" in finding.what
