"""What every data set promises. A new kind needs a line in SPECS, a small tree of it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synthcp.data.base import Dataset
from synthcp.data.specs import DATASETS, full_spec, open_dataset
from synthcp.data.working_size import Prepared

NAMES = ("city_1", "city_2", "town_10")


def write_three(image: str, label: str, *values: int, root: Path) -> None:
    """Write three images and label files of some values; the paths hold the NAME."""
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 256, (18, 23, 4), dtype=np.uint8)
        labels = np.array(values, dtype=np.uint8)[pixels[..., 3] % len(values)]
        for path, array in ((image, pixels[..., :3]), (label, labels)):
            place = root / path.replace("NAME", name)
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(place)


PAIRS: dict[str, tuple[str, str, tuple[int, ...], str]] = {
    "folder": ("images/train/NAME.png", "labels/train/NAME.png", (0, 1, 2, 255), "train"),
    "camvid": ("images/train/NAME.png", "labels/train/NAME.png", (0, 1, 2, 255), "train"),
    "cityscapes": (
        "leftImg8bit/train/ulm/NAME_leftImg8bit.png", "gtFine/train/ulm/NAME_gtFine_labelIds.png", (0, 7, 33), "train",
    ),
    "streethazards": ("test/images/test/t5/NAME.png", "test/annotations/test/t5/NAME.png", (0, 1, 13, 14), "test"),
    "bdd_anomaly": (
        "seg/images/train/NAME.jpg", "seg/labels/train/NAME_train_id.png", (0, 15, 16, 17, 18, 255), "test",
    ),
    "road_anomaly": ("frames/NAME.jpg", "frames/NAME.labels/labels_semantic.png", (0, 2), "test"),
    "smiyc": ("images/NAME.webp", "labels_masks/NAME_labels_semantic.png", (0, 1, 255), "val"),
    "fishyscapes": ("leftImg8bit/train/a/NAME_leftImg8bit.png", "masks/0003_NAME_labels.png", (0, 1, 255), "val"),
    "lost_and_found": (
        "leftImg8bit/test/a/NAME_leftImg8bit.png", "gtCoarse/test/a/NAME_gtCoarse_labelIds.png", (0, 1, 2, 200), "test",
    ),
}  # fmt: skip
"""Kinds of images with a label file each: the place of both, what the labels hold, and the split."""


def pairs(root: Path, kind: str) -> str:
    """Write three images with labels of a kind, and what it needs besides."""
    image, label, values, split = PAIRS[kind]
    write_three(image, label, *values, root=root)
    if kind in ("folder", "camvid"):
        (root / "classes.json").write_text(json.dumps({"names": ["sky", "road", "car"]}))
    if kind == "folder":
        (root / "anomalies/train").mkdir(parents=True)
        Image.fromarray(np.eye(18, 23, dtype=np.uint8) * 255).save(root / "anomalies/train/city_2.png")
    elif kind == "camvid":
        (root / "splits").mkdir()
        (root / "splits" / "train.txt").write_text("\n".join(NAMES))
    elif kind == "bdd_anomaly":
        write_three("seg/images/val/other_NAME.jpg", "seg/labels/val/other_NAME_train_id.png", 0, 15, root=root)
    return f"{kind}:{root}?split={split}"


def write_volume(path: Path, voxels: np.ndarray) -> None:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-0.9, 0.9, 2.0, 1.0])), path)


def write_volumes(root: Path, images: str) -> None:
    """Write three volumes of two classes; the path of their images holds the NAME."""
    for number, name in enumerate(NAMES):
        voxels = np.random.default_rng(number).integers(0, 256, (17, 18, 16), dtype=np.uint8)
        write_volume(root / images.replace("NAME", name), voxels)
        write_volume(root / f"labelsTr/{name}.nii.gz", voxels % 2)


def decathlon(root: Path) -> str:
    write_volumes(root, "imagesTr/NAME.nii.gz")
    cases = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in NAMES]
    description = {"labels": {"0": "background", "1": "organ"}, "training": cases, "test": []}
    (root / "dataset.json").write_text(json.dumps(description))
    return f"decathlon:{root}?split=all&spacing=1"


def nnunet(root: Path) -> str:
    write_volumes(root, "imagesTr/NAME_0000.nii.gz")
    labels = {"background": 0, "organ": 1}
    description = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(description))
    return f"nnunet:{root}?split=all&window=0..200"


SPECS: dict[str, Callable[[Path], str]] = {
    **{kind: partial(pairs, kind=kind) for kind in PAIRS},
    "scenes": lambda root: "scenes:?count=3&size=32x48&split=test",
    "heldout": lambda root: f"heldout:{pairs(root, 'streethazards')}&classes=traffic sign",
    "phantoms": lambda root: "phantoms:?count=3&size=18x16x20&split=test",
    "decathlon": decathlon,
    "nnunet": nnunet,
    "degraded": lambda root: f"degraded:{nnunet(root)}&severity=0.5..1",
}


@pytest.fixture(params=[(name, form) for name in SPECS for form in ("read", "prepared")], ids="-".join)
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    name, form = request.param
    opened = open_dataset(SPECS[name](tmp_path))
    return opened if form == "read" else Prepared(opened, 16)


def test_every_kind_is_here() -> None:
    assert SPECS.keys() == DATASETS.keys()


@pytest.mark.parametrize("kind", [kind for kind, source in DATASETS.items() if source.root == "folder"])
def test_a_layout_is_known_by_its_folder_alone(kind: str, tmp_path: Path) -> None:
    spec = SPECS[kind](tmp_path)
    assert full_spec(spec.removeprefix(f"{kind}:")) == spec == full_spec(spec)


def test_samples_are_valid(dataset: Dataset) -> None:
    labels, ignore = len(dataset.classes), dataset.classes.ignore_index
    assert len(dataset) == len(dataset.ids) == len(set(dataset.ids)) == 3
    assert len(dataset.classes.colors) == labels and not 0 <= ignore < labels
    for sample, sample_id in zip(dataset, dataset.ids, strict=True):
        assert sample.id == sample_id and isinstance(sample.group, str)
        assert sample.image.dtype == torch.float32 and sample.image.ndim in (3, 4)
        assert sample.image.min() >= 0 and 0.2 < sample.image.max() <= 1
        assert sample.label_map is not None or sample.roi is not None
        for mask in (sample.anomaly_mask, sample.roi):
            assert mask is None or (mask.dtype == torch.bool and mask.shape == sample.image.shape[1:])
        if sample.label_map is not None:
            assert sample.label_map.dtype == torch.int64 and sample.label_map.shape == sample.image.shape[1:]
            assert set(sample.label_map.unique().tolist()) <= {*range(labels), ignore}


def test_the_label_map_alone_is_that_of_the_sample(dataset: Dataset) -> None:
    for index, sample in enumerate(dataset):
        alone = dataset.label_map(index)
        assert alone is sample.label_map is None or torch.equal(alone, sample.label_map)


def test_the_groups_are_those_of_the_samples(dataset: Dataset) -> None:
    assert dataset.groups == [sample.group for sample in dataset]


def test_a_sample_is_the_same_every_time(dataset: Dataset) -> None:
    for index in (2, 0):
        first, again = dataset[index], dataset[index]
        for part in ("image", "label_map", "anomaly_mask", "roi"):
            one, other = getattr(first, part), getattr(again, part)
            assert one is other is None or one.equal(other)
        first.image.fill_(0.5)  # what a caller does to a sample stays with the caller
        assert dataset[index].image.equal(again.image)


def test_samples_differ(dataset: Dataset) -> None:
    first, second, third = (sample.image for sample in dataset)
    assert not first.equal(second) and not second.equal(third)
