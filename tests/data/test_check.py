from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from synthcp.data.check import check_labels
from synthcp.data.folder import Folder
from synthcp.errors import DataError


@pytest.fixture
def dataset(tmp_path, write_image, write_label, write_classes):
    """A maker of data sets of sky 0, road 1, car 2: one good sample, and "bad" with the label values given."""

    def make(*values, ignore_index=255, **bad_image):
        write_image(tmp_path / "images" / "good.png")
        write_label(tmp_path / "labels" / "good.png", 0, 1, 2, ignore_index)
        write_image(tmp_path / "images" / "bad.png", **bad_image)
        write_label(tmp_path / "labels" / "bad.png", *values)
        write_classes(tmp_path, ignore_index)
        return Folder(tmp_path)

    return make


def test_good_labels_pass(dataset):
    check_labels(dataset(2, 255, 1))


@pytest.mark.parametrize(
    ("values", "options", "texts"),
    [
        ((1, 200), {}, ("label 200 in bad", "classes are 0..2", "ignore value is 255", "fix the label")),
        (range(36, 29, -1), {}, ("label 30, 31, 32, 33, 34 and more in bad",)),
        ((0, 255), {"ignore_index": 11}, ("label 255 in bad", 'set "ignore_index": 255')),
        ((1, 2, 3), {}, ("label 3 in bad", 'set "ignore_index": 3', "subtract 1", "write 0 as 255")),
        ((1,), {"size": (24, 28)}, ("bad: the image is (24, 28), its label map (20, 28)",)),
        ((1,), {"mode": "L"}, ("good: the image has 3 channels, the first of the data set 1",)),
    ],
)
def test_bad_samples(dataset, fails, values, options, texts):
    with fails(*texts, error=DataError):
        check_labels(dataset(*values, **options))


def test_nothing_but_ignored_pixels(tmp_path, fails, write_image, write_label, write_classes):
    write_image(tmp_path / "images" / "void.png")
    write_label(tmp_path / "labels" / "void.png", *[255] * 20)
    write_classes(tmp_path)
    with fails("every pixel of all 1 label maps (void and on)", "255", error=DataError):
        check_labels(Folder(tmp_path))
    write_image(tmp_path / "images" / "sky.png")
    write_label(tmp_path / "labels" / "sky.png", *[255] * 19)  # one row of class 0 is enough
    check_labels(Folder(tmp_path))


def test_missing_labels(tmp_path, fails, write_image, write_classes):
    write_image(tmp_path / "images" / "lonely.png")
    write_classes(tmp_path)
    with fails("lonely has no label map", error=DataError):
        check_labels(Folder(tmp_path))


def test_unreadable_label(tmp_path, fails, dataset):
    samples = dataset(1)
    (tmp_path / "labels" / "bad.png").write_bytes(b"")
    with fails("bad.png", "empty", error=DataError):
        check_labels(samples)


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (lambda image: image * 255, ("bad: the image has values from", "must be in [0, 1]", "divide by 255")),
        (lambda image: (image - 0.45) / 0.225, ("bad: the image", "leave out the normalisation")),
        (lambda image: image.where(image > image.amin(), torch.nan), ("bad: the image", "without NaN")),
    ],
)
def test_images_of_another_range(tmp_path, dataset, fails, change, texts):
    class Changed(Folder):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return replace(sample, image=change(sample.image)) if sample.id == "bad" else sample

    dataset(1)
    with fails(*texts, error=DataError):
        check_labels(Changed(tmp_path))


def write_masks(root, write_image, write_label, **classes):
    write_image(root / "images" / "a.png")
    write_label(root / "labels" / "a.png", 255, 0, 255)
    if classes:
        (root / "classes.json").write_text(json.dumps(classes))


def test_masks_of_0_and_255_without_classes_json(tmp_path, fails, write_image, write_label):
    write_masks(tmp_path, write_image, write_label)
    with fails("labels holds the values 0, 255", "(255 is void)", '"values": [0, 255]', error=DataError):
        Folder(tmp_path)
    with pytest.raises(DataError) as refused:
        Folder(tmp_path)
    (tmp_path / "classes.json").write_text("{" + str(refused.value).partition("{")[2])  # as the message has it
    samples = Folder(tmp_path)
    check_labels(samples)
    assert samples.classes.names == ("class 0", "class 255")
    assert samples[0].label_map[:4, 0].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("more", [{}, {"ignore_index": 255}])
def test_masks_of_0_and_255_of_two_classes_are_refused_until_it_is_said_what_255_is(
    more, tmp_path, fails, write_image, write_label
):
    write_masks(tmp_path, write_image, write_label, names=["road", "crack"], **more)
    with fails("1 label maps (a and on) hold 0 and 255 alone", "'crack'", '"values": [0, 255]', error=DataError):
        check_labels(Folder(tmp_path))
    write_masks(tmp_path, write_image, write_label, names=["road", "crack"], values=[0, 255], ignore_index=None)
    assert check_labels(Folder(tmp_path)) == () and Folder(tmp_path)[0].label_map.sum() == 2 * 28


def test_a_stored_value_that_is_no_class(tmp_path, fails, write_image, write_label):
    write_masks(tmp_path, write_image, write_label, names=["road", "crack"], values=[0, 1], ignore_index=None)
    with fails("a.png holds the value 255", "known is 0 or 1", error=DataError):
        Folder(tmp_path)[0]


def test_classes_that_never_occur_are_told(tmp_path, write_image, write_label, write_classes):
    write_classes(tmp_path)
    for name, value in (("a", 0), ("b", 2)):
        write_image(tmp_path / "images" / f"{name}.png")
        write_label(tmp_path / "labels" / f"{name}.png", value, 255)
    assert check_labels(Folder(tmp_path)) == ("road",)
