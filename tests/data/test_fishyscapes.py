from __future__ import annotations

import numpy as np
import pytest
import torch

from synthcp.data.fishyscapes import Fishyscapes
from synthcp.data.images import read_image
from synthcp.data.specs import open_dataset
from synthcp.errors import DataError

NAMES = ("04_Weg_8_000000_000030", "01_Str_45_000002_000070")


@pytest.fixture
def root(tmp_path, write_pair):
    """Labels as the archive unpacks; images in the train and the test folder of Lost and Found."""
    for number, (name, split) in enumerate(zip(NAMES, ("test", "train"), strict=True)):
        street = name[:-14]
        image = tmp_path / "leftImg8bit" / split / street / f"{name}_leftImg8bit.png"
        label = tmp_path / "fishyscapes_lostandfound" / f"{number:04d}_{name}_labels.png"
        write_pair(image, label, *[255] * number, 1)
    return tmp_path


def test_lost_and_found(root):
    dataset = Fishyscapes(root)
    assert dataset.ids == [f"0000_{NAMES[0]}", f"0001_{NAMES[1]}"]
    sample = dataset[1]
    assert sample.image.equal(read_image(root / f"leftImg8bit/train/01_Str_45/{NAMES[1]}_leftImg8bit.png"))
    assert sample.group == "01_Str_45" and sample.label_map is None
    assert sample.anomaly_mask[:3, 9].tolist() == [False, True, False]
    assert sample.roi[:3, 9].tolist() == [False, True, True]


def test_the_images_may_lie_elsewhere(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("photos")
    (root / "leftImg8bit").rename(elsewhere / "leftImg8bit")
    assert len(open_dataset(f"fishyscapes:{root}?images={elsewhere}", "val")) == 2


def test_static_is_the_image_plus_an_overlay(root):
    overlay = np.zeros((20, 28, 3), np.int16)
    overlay[2, 5], overlay[3, 6], overlay[4, 7] = (300, 0, 0), (-300, 0, 0), (0, 0, 7)
    np.savez(root / f"fishyscapes_lostandfound/0000_{NAMES[0]}_rgb.npz", rgb=overlay)
    photo = read_image(root / f"leftImg8bit/test/04_Weg_8/{NAMES[0]}_leftImg8bit.png")
    expected = photo.clone()
    expected[0, 2, 5], expected[0, 3, 6], expected[2, 4, 7] = 1, 0, min(1, photo[2, 4, 7] + 7 / 255)
    torch.testing.assert_close(Fishyscapes(root)[0].image, expected)


@pytest.mark.parametrize("arrays", [None, {"bgr": np.zeros((20, 28, 3))}, {"rgb": np.zeros((20, 27, 3))}])
def test_an_overlay_that_will_not_do(root, fails, arrays):
    path = root / f"fishyscapes_lostandfound/0000_{NAMES[0]}_rgb.npz"
    path.write_bytes(b"no archive") if arrays is None else np.savez(path, **arrays)
    with fails(f"0000_{NAMES[0]}_rgb.npz", error=DataError):
        Fishyscapes(root)[0]


def test_missing_parts(root, fails):
    with fails("no split 'test'", "choose one of val", error=DataError):
        Fishyscapes(root, "test")
    (root / f"leftImg8bit/train/01_Str_45/{NAMES[1]}_leftImg8bit.png").unlink()
    with fails(f"0001_{NAMES[1]}_labels.png has no image {NAMES[1]}_leftImg8bit.png", "?images=", error=DataError):
        Fishyscapes(root)
    with fails("holds no label file", "NUMBER_NAME_labels.png", error=DataError):
        Fishyscapes(root / "leftImg8bit")


def test_two_versions_below_one_root(root, fails, write_label):
    write_label(root / "v2" / f"0000_{NAMES[0]}_labels.png")
    with fails(f"0000_{NAMES[0]}_labels.png twice", "a root of its own", error=DataError):
        Fishyscapes(root)


def test_two_images_of_one_name(root, fails, write_image):
    (image,) = root.rglob(f"{NAMES[0]}_leftImg8bit.*")
    write_image(root / "copy" / image.name)
    with fails(f"copy/{image.name} and ", "could both be what", f"0000_{NAMES[0]}_labels.png means", error=DataError):
        Fishyscapes(root)
