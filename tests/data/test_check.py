from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthcp.data.check import check_labels, require_labels
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
    require_labels(dataset(2))


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


@pytest.mark.parametrize("check", [check_labels, require_labels])
def test_missing_labels(tmp_path, fails, write_image, write_classes, check):
    write_image(tmp_path / "images" / "lonely.png")
    write_classes(tmp_path)
    with fails("lonely has no label map", error=DataError):
        check(Folder(tmp_path))


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
