from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from synthcp.data.nnunet import NnUNet
from synthcp.data.specs import open_dataset
from synthcp.errors import DataError

SHAPE = (6, 5, 4)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, 2, 3, 1])), path)


@pytest.fixture
def root(tmp_path):
    """Eight labelled cases of two channels, c1 to c8, and an unlabelled one."""
    for number in range(1, 9):
        for channel in range(2):
            save(tmp_path / f"imagesTr/c{number}_000{channel}.nii.gz", np.full(SHAPE, 10 * number + channel, np.uint8))
        labels = np.zeros(SHAPE, np.uint8)
        labels[0, 0, : number % 3 + 1] = 1
        labels[1, 0, 0] = 2
        save(tmp_path / f"labelsTr/c{number}.nii.gz", labels)
    for channel in range(2):
        save(tmp_path / f"imagesTs/u_000{channel}.nii.gz", np.zeros(SHAPE, np.uint8))
    (tmp_path / "labelsTr" / "._c1.nii.gz").touch()
    labels = {"background": 0, "organ": 1, "lesion": 2}
    names = {"0": "T1", "1": "T2"}
    write(tmp_path, channel_names=names, labels=labels, numTraining=8, file_ending=".nii.gz")
    return tmp_path


def write(root, **entries):
    path = root / "dataset.json"
    content = (json.loads(path.read_text()) if path.is_file() else {}) | entries
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_channels_lie_in_files_of_their_own(root):
    dataset = open_dataset(f"nnunet:{root}?window=0..100&split=all")
    assert dataset.ids == [f"c{number}" for number in range(1, 9)]
    sample = dataset[2]
    assert sample.image.shape == (2, *SHAPE)
    assert [float(channel.mean()) for channel in sample.image] == pytest.approx([0.30, 0.31])
    assert sample.label_map[-1, 0, :2].tolist() == [1, 0] and sample.label_map[-2, 0, 0] == 2
    assert dataset.classes.names == ("background", "organ", "lesion") and dataset.classes.ignore_index == 255
    assert dataset.grid(2).spacing == pytest.approx((1, 2, 3))


def test_without_a_file_of_splits_the_cases_are_split_in_order(root):
    assert NnUNet(root).ids == ["c1", "c2", "c3", "c4", "c5"]
    assert NnUNet(root, "val").ids == ["c6"] and NnUNet(root, "test").ids == ["c7", "c8"]
    unlabelled = NnUNet(root, "unlabelled")
    assert unlabelled.ids == ["u"] and unlabelled[0].label_map is None and unlabelled[0].image.shape == (2, *SHAPE)


def test_the_file_of_splits_is_honoured(root, fails):
    folds = [{"train": ["c2", "c1"], "val": ["c3"]}, {"train": ["c3"], "val": ["c1", "c2"]}]
    (root / "splits_final.json").write_text(json.dumps(folds))
    assert open_dataset(f"nnunet:{root}").ids == ["c1", "c2"]
    assert open_dataset(f"nnunet:{root}?fold=1", "val").ids == ["c1", "c2"]
    assert len(NnUNet(root, "all")) == 8
    with fails("splits_final.json has no split 'test'", "train, val, all", error=DataError):
        NnUNet(root, "test")
    with fails("splits_final.json has no fold 2", error=DataError):
        NnUNet(root, fold=2)
    (root / "splits_final.json").write_text(json.dumps([{"train": ["c9"], "val": []}]))
    with fails("names the case 'c9'", "labelsTr", error=DataError):
        NnUNet(root)


def test_the_label_ignore_is_no_class(root):
    write(root, labels={"background": 0, "organ": 1, "ignore": 2})
    classes = NnUNet(root).classes
    assert classes.names == ("background", "organ") and classes.ignore_index == 2


@pytest.mark.parametrize(
    ("entries", "texts"),
    [
        ({"labels": {"background": 0, "whole": [1, 2], "core": 2}}, ("'whole' is a region", "list the labels")),
        ({"labels": {"0": "background", "1": "organ"}}, ('{"background": 0}',)),
        ({"labels": [0, 1]}, ('"labels" must be an object',)),
        ({"labels": {"background": 0, "organ": 3}}, ("[0, 3]", "without a gap")),
        ({"file_ending": ".png"}, ("end in '.png'", ".nii.gz and .nii")),
        ({"channel_names": None}, ('lacks the key "channel_names"', "nnU-Net's layout")),
        ({"channel_names": 2}, ('"channel_names" must be an object',)),
        ({"channel_names": {}}, ('"channel_names" must be an object with entries',)),
    ],
)
def test_a_malformed_description_is_refused(root, fails, entries, texts):
    write(root, **entries)
    with fails(*texts, error=DataError):
        NnUNet(root)


def test_missing_files_are_named(root, fails):
    (root / "imagesTr" / "c4_0001.nii.gz").unlink()
    with fails("imagesTr/c4_0001.nii.gz is missing", "c4", error=DataError):
        NnUNet(root)
    (root / "labelsTr").rename(root / "labels")
    with fails("labelsTr is missing", "nnU-Net's layout", error=DataError):
        NnUNet(root)
