from __future__ import annotations

import json
import shutil

import nibabel
import numpy as np
import pytest
import torch

from synthcp.data.decathlon import Decathlon, leaning, write_decathlon
from synthcp.data.drawn.phantoms import CLASSES, Phantoms, PhantomsConfig
from synthcp.data.specs import open_dataset
from synthcp.data.volume_preparation import VolumePreparation
from synthcp.errors import DataError, InputError, ShapeError

SIZE = (10, 9, 8)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Twenty labelled and two unlabelled cases, whose numbers are not in the order of text; not to be written to."""
    folder = tmp_path_factory.mktemp("task")
    write_decathlon(folder, labelled(), Phantoms(PhantomsConfig(2, SIZE, split="test")), leaning((0.8, 0.8, 2.5)))
    return folder


@pytest.fixture
def root(task, tmp_path):
    return shutil.copytree(task, tmp_path / "task")


def labelled():
    phantoms = Phantoms(PhantomsConfig(20, SIZE))
    phantoms.ids = tuple(f"case_{number}" for number in range(20))
    return phantoms


@pytest.fixture
def change(root):
    """Change dataset.json."""

    def edit(**entries):
        path = root / "dataset.json"
        content = json.loads(path.read_text()) | entries
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return edit


def numbers(root, split):
    return [int(case.rpartition("_")[2]) for case in Decathlon(root, split).ids]


def test_splits_are_contiguous_in_natural_order(root):
    assert numbers(root, "train") == list(range(12))
    assert numbers(root, "val") == [12, 13, 14]
    assert numbers(root, "test") == list(range(15, 20))
    assert numbers(root, "all") == list(range(20))
    unlabelled = Decathlon(root, "unlabelled")
    assert unlabelled.ids == ["test-0000", "test-0001"] and unlabelled[1].label_map is None
    assert unlabelled.label_map(0) is None


def test_what_was_written_is_read_back(root):
    dataset = open_dataset(f"decathlon:{root}?window=abdomen&split=all")
    assert dataset.classes == CLASSES and dataset.preparation == VolumePreparation(window="abdomen")
    drawn = labelled()
    for index in (0, 11):
        written, read = drawn[index], dataset[index]
        assert read.id == read.group == written.id
        # the files lie left and posterior, so RAS is two flips away
        assert read.label_map.equal(written.label_map.flip(0, 1))
        torch.testing.assert_close(read.image, written.image.flip(1, 2), atol=1 / 400, rtol=0)
        assert dataset.label_map(index).equal(read.label_map)
        assert dataset.grid(index).spacing == pytest.approx((0.8, 0.8, 2.5)) and dataset.grid(index).size == SIZE


def test_files_are_those_of_the_decathlon(root):
    image, labels = (nibabel.load(root / part / "case_3.nii.gz") for part in ("imagesTr", "labelsTr"))
    assert image.get_data_dtype() == np.int16 and labels.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.affine, leaning((0.8, 0.8, 2.5)), atol=1e-5)
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert np.count_nonzero(image.affine[:3, :3]) == 8  # it leans
    description = json.loads((root / "dataset.json").read_text())
    assert description["numTraining"] == 20
    assert description["labels"] == {"0": "background", "1": "organ", "2": "lesion"}
    assert description["training"][3] == {"image": "./imagesTr/case_3.nii.gz", "label": "./labelsTr/case_3.nii.gz"}


def test_spacing_is_that_of_the_spec(root):
    image = open_dataset(f"decathlon:{root}?spacing=1x1x2")[0].image
    assert image.shape == (1, 8, 7, 10)
    assert open_dataset(f"decathlon:{root}?spacing=2.5")[0].image.shape == (1, 3, 3, 8)


def test_the_label_map_alone_does_not_read_the_image(root):
    (root / "imagesTr" / "case_0.nii.gz").write_bytes(b"damaged")
    dataset = Decathlon(root)
    assert dataset.label_map(0).shape == SIZE
    with pytest.raises(DataError):
        dataset[0]


def test_options_reach_the_data_set_within(root, tmp_path):
    (tmp_path / "ids.txt").write_text("case_7\n")
    spec = f"degraded:decathlon:{root}?spacing=1x1x2&window=nih&ids={tmp_path / 'ids.txt'}"
    dataset = open_dataset(spec)
    assert dataset.ids == ["case_7"] and dataset.preparation == VolumePreparation((1, 1, 2), "nih")
    assert dataset.grid(0).size == SIZE


def test_leftovers_of_macos_are_not_read(root, change):
    (root / "imagesTr" / "._case_1.nii.gz").touch()
    cases = ("case_1", "case_2", "._case_1")
    change(training=[{"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in cases])
    assert Decathlon(root, "all").ids == ["case_1", "case_2"]


def test_channels_of_a_4d_file(root):
    volume = nibabel.load(root / "imagesTr/case_0.nii.gz")
    pair = np.stack([np.asanyarray(volume.dataobj), 3 * np.asanyarray(volume.dataobj)], axis=-1)
    nibabel.save(nibabel.Nifti1Image(pair, volume.affine), root / "imagesTr/case_0.nii.gz")
    image = Decathlon(root)[0].image
    assert image.shape == (2, *SIZE)
    torch.testing.assert_close(image[0], image[1])  # each by its own percentiles


@pytest.mark.parametrize(
    ("entries", "texts"),
    [
        ({"labels": None}, ('lacks the key "labels"', "the Decathlon's layout")),
        ({"training": None}, ('lacks the key "training"',)),
        ({"labels": {"background": 0, "organ": 1}}, ('"labels"', '{"0": "background"}')),
        ({"labels": {"0": "background", "2": "organ"}}, ("[0, 2]", "without a gap")),
        ({"labels": {"0": "organ", "1": "organ"}}, ("comes twice",)),
        ({"training": {"image": "x"}}, ('"training" must be a list',)),
        ({"training": [{"image": "x"}]}, ("{'image': 'x'}", "image and label")),
        ({"training": ["x.nii.gz"]}, ("'x.nii.gz'", "image and label")),
        ({"training": [{"image": "imagesTr/none.nii", "label": "labelsTr/case_0.nii.gz"}] * 5}, ("both called none",)),
        ({"training": []}, ("no case of the split 'train'", "split=all")),
    ],
)
def test_a_malformed_description_is_refused(root, change, fails, entries, texts):
    change(**entries)
    with fails(str(root), *texts, error=DataError):
        Decathlon(root)


def test_a_missing_file_is_named(root, fails):
    (root / "labelsTr" / "case_2.nii.gz").unlink()
    with fails("labelsTr/case_2.nii.gz is missing", "case_2", error=DataError):
        Decathlon(root)
    Decathlon(root, "test")  # other splits do not need it


def test_other_refusals(root, tmp_path, change, fails):
    with fails("no split 'night'", "train, val, test, all", error=DataError):
        Decathlon(root, "night")
    change(test=[])
    with fails(str(root), "no case of the split 'unlabelled'", error=DataError):
        Decathlon(root, "unlabelled")
    (root / "dataset.json").write_text("[]")
    with fails("holds no JSON object {...}", error=DataError):
        Decathlon(root)
    (root / "dataset.json").unlink()
    with fails("dataset.json is missing", "no such file", "imagesTr/NAME.nii.gz", error=DataError):
        Decathlon(root)


def test_an_image_and_its_labels_on_different_grids_are_refused(root, fails):
    path = root / "labelsTr" / "case_0.nii.gz"
    labels = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(labels.dataobj), leaning((0.8, 0.8, 2.6))), path)
    with fails("imagesTr/case_0.nii.gz and", "labelsTr/case_0.nii.gz lie apart", error=DataError):
        Decathlon(root)[0]


@pytest.mark.parametrize("spacing", ["1x2", "1x1x1x1", "fine", "-1", "0"])
def test_wrong_spacings(root, fails, spacing):
    with fails("spacing", error=InputError):
        open_dataset(f"decathlon:{root}?spacing={spacing}")


def test_only_volumes_of_one_channel_are_written(tmp_path, fails):
    with fails("(3, 16, 16)", "(1, X, Y, Z)", error=ShapeError):
        write_decathlon(tmp_path, open_dataset("scenes:?count=1&size=16x16"))
