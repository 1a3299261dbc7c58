"""Predictions on disk in every layout, and how they are found."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synthcp.errors import DataError, InputError, MissingExtraError
from synthcp.records import Classes
from synthcp.segmentation.base import CERTAIN, EPSILON
from synthcp.segmentation.saved import SavedPredictions
from synthcp.segmentation.specs import open_model

IMAGE = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
VOLUME = torch.rand(1, 1, 4, 6, 8, generator=torch.Generator().manual_seed(0))
LABELS = np.random.default_rng(0).integers(0, 5, (20, 30)).astype(np.uint8)
SCORES = np.random.default_rng(1).dirichlet(np.ones(5), (20, 30)).transpose(2, 0, 1)


def write_png(path: Path, labels: np.ndarray = LABELS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def write_volume(path: Path, labels: np.ndarray, flips: tuple[int, ...] = (1, 1, 1)) -> None:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([*flips, 1.0])), path)


@pytest.fixture
def saved(tmp_path, classes):
    return lambda dims=2, mapping=None: SavedPredictions(tmp_path, classes, dims, mapping)


def test_a_label_map_in_grey_in_a_palette_and_in_display_colours(tmp_path, saved, classes):
    write_png(tmp_path / "grey.png")
    palette = Image.fromarray(LABELS).convert("P")
    palette.putpalette([value for color in classes.colors for value in color])
    palette.save(tmp_path / "palette.png")
    write_png(tmp_path / "rgb.png", np.array(classes.colors, dtype=np.uint8)[LABELS])
    for name in ("grey", "palette", "rgb"):
        prediction = saved().predict(name, IMAGE)
        assert (prediction.label_map[0].numpy() == LABELS).all()
        assert prediction.logits.amax(dim=1).eq(CERTAIN).all() and prediction.layers == ()


def test_an_unknown_colour(tmp_path, saved, classes, fails):
    pixels = np.array(classes.colors, dtype=np.uint8)[LABELS]
    pixels[3, 4] = 1, 2, 3
    write_png(tmp_path / "rgb.png", pixels)
    with fails("rgb.png has the colour (1, 2, 3), which no class has", "grey PNG", error=DataError):
        saved().predict("rgb", IMAGE)


@pytest.mark.parametrize("key", ["probabilities", "softmax"])
def test_probabilities(key, tmp_path, saved):
    scores = SCORES.astype(np.float16)
    scores[:, 0, 0] = 0, 0, 1, 0, 0
    write_npz(tmp_path / "a.npz", **{key: scores})
    logits = saved().predict("a", IMAGE).logits
    torch.testing.assert_close(logits[0], (torch.from_numpy(scores).float() + EPSILON).log())
    assert logits.half().isfinite().all()


def test_probabilities_in_half_precision_sum_to_one(tmp_path, saved):
    scores = np.random.default_rng(4).dirichlet(np.full(5, 0.05), (20, 30)).transpose(2, 0, 1).astype(np.float16)
    assert (abs(scores.sum(axis=0, dtype=np.float64) - 1) > 0).any()
    write_npz(tmp_path / "a.npz", softmax=scores)
    assert (saved().predict("a", IMAGE).label_map[0].numpy() == scores.argmax(axis=0)).all()


def test_logits_as_they_are(tmp_path, saved):
    logits = np.random.default_rng(2).normal(size=(5, 10, 15))  # half the size of the image
    write_npz(tmp_path / "a.npz", logits=logits)
    torch.testing.assert_close(saved().predict("a", IMAGE).logits[0], torch.from_numpy(logits).float())


def test_flat_images_of_nnunet_have_an_axis_of_one(tmp_path, saved):
    write_npz(tmp_path / "a.npz", probabilities=SCORES[:, None])
    assert saved().predict("a", IMAGE).logits.shape == (1, 5, 20, 30)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1)], ids=["RAS", "LPS"])
def test_volumes_are_turned_to_right_anterior_superior(flips, suffix, tmp_path, saved):
    labels = np.random.default_rng(3).integers(0, 5, (4, 6, 8)).astype(np.uint8)
    write_volume(tmp_path / f"v{suffix}", labels, flips)
    assert (saved(3).predict("v", VOLUME).label_map[0].numpy() == labels[:: flips[0], :: flips[1]]).all()


def test_probabilities_of_nnunet_lie_like_the_volume_beside_them(tmp_path, saved):
    labels = np.random.default_rng(3).integers(0, 5, (4, 6, 8)).astype(np.uint8)
    write_volume(tmp_path / "v.nii.gz", labels, (-1, -1, 1))
    one_hot = np.eye(5)[labels].transpose(3, 2, 1, 0)  # classes, then z, y, x, as nnU-Net stores them
    write_npz(tmp_path / "v.npz", probabilities=one_hot)
    assert (saved(3).predict("v", VOLUME).label_map[0].numpy() == labels[::-1, ::-1]).all()


def test_probabilities_of_a_volume_alone_have_the_axes_of_the_image(tmp_path, saved):
    labels = np.random.default_rng(3).integers(0, 5, (4, 6, 8))
    write_npz(tmp_path / "v.npz", softmax=np.eye(5)[labels].transpose(3, 0, 1, 2))
    assert (saved(3).predict("v", VOLUME).label_map[0].numpy() == labels).all()


@pytest.mark.parametrize(
    ("file", "sample_id"),
    [
        ("a_1.png", "a_1"),
        ("val/oslo/a_1.png", "val/oslo/a_1"),
        ("fold_3/validation/a_1.png", "a_1"),
        ("nnUNetTrainer__2d/fold_all/validation/a_1.png", "a_1"),
        ("fold_0/validation/oslo/a_1.png", "oslo/a_1"),
        ("run7/out/oslo/a_1.png", "oslo/a_1"),
        ("a_1.png", "val/oslo/a_1"),
        ("case_7.png", "case_7_0000"),
        ("frame.001.png", "frame.001"),
    ],
)
def test_files_are_found_by_the_id_of_the_image(file, sample_id, tmp_path, saved):
    write_png(tmp_path / file)
    write_png(tmp_path / ".hidden" / file)
    write_png(tmp_path / "other.png")
    predictions = saved()
    predictions.require([sample_id])
    assert predictions._file(sample_id) == tmp_path / file


def test_the_nearest_path_wins_and_probabilities_win_over_labels(tmp_path, saved):
    for folder in ("", "oslo", "bern"):
        write_png(tmp_path / folder / "a.png")
    write_npz(tmp_path / "bern" / "a.npz", probabilities=SCORES)
    predictions = saved()
    assert predictions._file("a") == tmp_path / "a.png"
    assert predictions._file("train/oslo/a") == tmp_path / "oslo" / "a.png"
    assert predictions._file("bern/a") == tmp_path / "bern" / "a.npz"


def test_two_files_for_one_image(tmp_path, saved, fails):
    write_png(tmp_path / "fold_0" / "validation" / "a.png")
    write_png(tmp_path / "fold_1" / "validation" / "a.png")
    with fails("fold_0/validation/a.png and ", "fold_1/validation/a.png could both", "keep one", error=DataError):
        saved().require(["a"])


def test_a_file_serves_one_image(tmp_path, saved, fails):
    for name in ("a/001", "a/002"):
        write_png(tmp_path / f"{name}.png")
    with fails("no prediction of 2 of the 4 images (first: b/001)", "such as b/001.png"):
        saved().require(["a/001", "a/002", "b/001", "b/002"])
    with fails("no prediction of b/001", error=DataError):
        saved().predict("b/001", IMAGE)
    with fails("no prediction of 1 of the 2 images (first: b/001)"):
        saved().require(["a/001", "b/001"])


@pytest.mark.parametrize("ids", [["a/001", "b/001"], ["b/001", "a/001"], ["a/001", "b/001", "a/002"]])
def test_a_name_without_its_folder_is_nobodys_where_two_images_have_it(ids, tmp_path, saved, fails):
    write_png(tmp_path / "001.png")
    with fails(f"of the {len(ids)} images"):
        saved().require(ids)


def test_two_images_that_claim_one_file(tmp_path, saved, fails):
    write_png(tmp_path / "case_7.png")
    with fails("case_7 and case_7_0000 both claim", "case_7.png; a file serves one image", error=DataError):
        saved().require(["case_7", "case_7_0000"])


def test_a_name_that_is_the_only_one_on_both_sides_and_the_files_left_over(tmp_path, saved):
    for name in ("masks/001", "masks/002", "masks/003"):
        write_png(tmp_path / f"{name}.png")
    predictions = saved()
    predictions.require(["photos/001", "photos/003"])
    assert [predictions._file(name) for name in ("photos/001", "photos/003")] == [
        tmp_path / "masks/001.png",
        tmp_path / "masks/003.png",
    ]
    assert predictions.unused == [tmp_path / "masks/002.png"]
    assert predictions._file("others/002") is None  # of which nothing was said, so that its folder speaks against it


def test_predictions_for_half_the_images(tmp_path, saved, fails):
    for index in range(0, 10, 2):
        write_png(tmp_path / f"frame_{index}.png")
    with fails("no prediction of 5 of the 10 images (first: frame_1)", "write one for each"):
        saved().require([f"frame_{index}" for index in range(10)])
    with fails("no prediction of frame_1", error=DataError):
        saved().predict("frame_1", IMAGE)


def test_a_prediction_of_another_image(tmp_path, saved, fails):
    write_png(tmp_path / "a.png", np.zeros((20, 40), dtype=np.uint8))
    with fails("a.png is 20x40 and its image 20x30", "aspect", error=DataError):
        saved().predict("a", IMAGE)
    write_png(tmp_path / "b.png", np.zeros((33, 50), dtype=np.uint8))  # 33.3 is rounded
    saved().predict("b", IMAGE)


def test_a_label_that_is_no_class(tmp_path, saved, fails):
    labels = LABELS.copy()
    labels[0, 0], labels[1, 1] = 255, 9
    write_png(tmp_path / "a.png", labels)
    with fails("holds the label 9, but the classes are 0 to 4 (and 255 for none)", "?mapping=", error=DataError):
        saved().predict("a", IMAGE)
    write_volume(tmp_path / "v.nii.gz", np.full((4, 6, 8), -1, dtype=np.int16))
    with fails("holds the label -1", 'in the order of their names whatever "values" in classes.json', error=DataError):
        saved(3).predict("v", VOLUME)
    labels[1, 1] = 255
    write_png(tmp_path / "a.png", labels)
    prediction = saved().predict("a", IMAGE)
    assert prediction.logits[0, :, 0, 0].eq(0).all() and prediction.logits[0, :, 1, 1].eq(0).all()


def test_labels_and_probabilities_are_mapped(tmp_path, saved, classes):
    path = tmp_path / "mapping.json"
    path.write_text(
        json.dumps({"9": "sky", "1": "road", "2": "car", "3": "car", "4": "tree", "0": "person", "8": None})
    )
    write_png(tmp_path / "a.png", np.where(LABELS == 1, 9, LABELS).astype(np.uint8))
    label_map = saved(mapping=path).predict("a", IMAGE).label_map[0].numpy()
    assert (label_map == np.array([4, 0, 2, 2, 3])[LABELS]).all()
    scores = np.random.default_rng(1).dirichlet(np.ones(10), (20, 30)).transpose(2, 0, 1)
    write_npz(tmp_path / "b.npz", softmax=scores)
    probabilities = saved(mapping=path).predict("b", IMAGE).logits[0].exp().numpy()
    np.testing.assert_allclose(probabilities[2], scores[2] + scores[3], atol=1e-5)
    np.testing.assert_allclose(probabilities[0], scores[9], atol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "texts"),
    [
        ({"masks": SCORES}, ("has the keys masks", "probabilities, softmax, logits")),
        ({"softmax": 5 * SCORES}, ("holds softmax outside [0, 1]", "'logits'")),
        (
            {"softmax": SCORES[::-1] * SCORES.max(axis=0)},
            ("holds softmax of a pixel whose sum is 0.", "under 'logits'"),
        ),
        ({"probabilities": np.zeros((5, 20, 30))}, ("a pixel whose sum is 0; those of all classes sum to 1",)),
        ({"probabilities": np.repeat(SCORES[:1], 5, axis=0)}, ("divide them by their sum",)),
        ({"softmax": SCORES[:4]}, ("holds 4 classes, the data has 5", "?mapping=")),
        ({"softmax": SCORES[0]}, ("has the shape (20, 30)", "one axis more")),
        ({"softmax": SCORES[:, :0]}, ("has the shape (5, 0, 30)",)),
        ({"logits": np.full((5, 20, 30), np.nan)}, ("NaN or infinite",)),
        ({"logits": np.array([{}], dtype=object)}, ("cannot be read", "allow_pickle=False")),
    ],
)
def test_unusable_arrays(arrays, texts, tmp_path, saved, fails):
    write_npz(tmp_path / "a.npz", **arrays)
    with fails("a.npz", *texts, error=DataError):
        saved().predict("a", IMAGE)


@pytest.mark.parametrize("suffix", [".npz", ".nii.gz", ".png"])
def test_a_damaged_file(suffix, tmp_path, saved, fails):
    (tmp_path / f"a{suffix}").write_bytes(b"PK\x03\x04 no file")
    with fails(f"a{suffix} ", error=DataError):
        saved(3 if suffix == ".nii.gz" else 2).predict("a", VOLUME if suffix == ".nii.gz" else IMAGE)


def test_flat_files_for_volumes_and_volumes_for_flat_images(tmp_path, saved, fails):
    write_png(tmp_path / "a.png")
    write_volume(tmp_path / "b.nii.gz", np.zeros((4, 6, 8), dtype=np.uint8))
    with fails("a.png is flat", error=DataError):
        saved(3).predict("a", VOLUME)
    with fails("b.nii.gz is a volume", error=DataError):
        saved(2).predict("b", IMAGE)


def test_no_folder_and_an_empty_one(tmp_path, classes, fails):
    with fails("nowhere: no such folder"):
        SavedPredictions(tmp_path / "nowhere", classes, 2)
    with fails("holds no prediction", ".npz, .nii.gz, .nii, .png"):
        SavedPredictions(tmp_path, classes, 2)


def test_volumes_need_nibabel(tmp_path, saved, monkeypatch):
    write_volume(tmp_path / "v.nii.gz", np.zeros((4, 6, 8), dtype=np.uint8))
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(MissingExtraError, match=r'nibabel is not installed.*pip install "synthcp\[medical\]"'):
        saved(3).predict("v", VOLUME)


def test_as_a_model(tmp_path, classes, fails):
    write_png(tmp_path / "a.png")
    predictor, settings = open_model(f"preds:{tmp_path}", classes, IMAGE)
    assert isinstance(predictor, SavedPredictions)
    assert (settings.layers, settings.feature_distances, settings.fingerprint, settings.features) == (0, 0, "", "")
    with fails("have no features; leave --features out"):
        open_model(f"preds:{tmp_path}", classes, IMAGE, "head")
    with pytest.raises(InputError, match="no option 'mean'; choose one of: mapping"):
        open_model(f"preds:{tmp_path}?mean=0.5", classes, IMAGE)


def test_a_mapping_of_more_classes_than_a_file_holds(tmp_path, saved, fails):
    names = {"0": "sky", "1": "road", "2": "car", "3": "tree", "4": "person", "99999999999": "sky"}
    (tmp_path / "mapping.json").write_text(json.dumps(names))
    write_png(tmp_path / "a.png")
    write_npz(tmp_path / "b.npz", softmax=SCORES)
    predictions = saved(mapping=tmp_path / "mapping.json")
    assert predictions.predict("a", IMAGE).label_map[0].numpy().tolist() == LABELS.tolist()
    with fails("b.npz holds 5 classes, but the mapping names class 99999999999", error=DataError):
        predictions.predict("b", IMAGE)


def test_0_and_255_of_two_classes_are_refused_with_mappings_that_work(tmp_path, fails):
    labels = np.where(LABELS > 2, 255, 0).astype(np.uint8)
    write_png(tmp_path / "a.png", labels)
    two = Classes(("road", "crack"), ((0, 0, 0), (9, 9, 9)))
    with fails("a.png holds 0 and 255 alone", "'crack' or none", '{"0": "road", "255": "crack"}', error=DataError):
        SavedPredictions(tmp_path, two, 2).predict("a", IMAGE)
    mapping = tmp_path / "mapping.json"
    mapping.write_text('{"0": "road", "255": "crack"}')
    prediction = SavedPredictions(tmp_path, two, 2, mapping).predict("a", IMAGE)
    assert (prediction.label_map[0].numpy() == (LABELS > 2)).all()
    mapping.write_text('{"0": "road", "1": "crack", "255": null}')
    assert SavedPredictions(tmp_path, two, 2, mapping).predict("a", IMAGE).logits[0, :, LABELS > 2].eq(0).all()


@pytest.mark.parametrize("shape", [(5, 2000, 3000), (5, 60, 61)])
def test_arrays_that_are_too_large_are_refused_before_they_are_read(shape, tmp_path, saved, fails):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("logits.npy", header.getvalue())  # and no values
    with fails("a.npz is ", "more than 2 times its image of 20x30", error=DataError):
        saved().predict("a", IMAGE)


def test_a_header_that_claims_more_than_is_there(tmp_path, saved, fails):
    write_npz(tmp_path / "a.npz", logits=np.zeros((5, 20, 30), np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        whole = archive.read("logits.npy")
    for name, content in {"short": whole[:-7], "long": whole + b"0", "huge header": whole[:8] + b"\xff" * 9}.items():
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w") as archive:
            archive.writestr("logits.npy", content)
        with fails(f"{name}.npz", "write it again", error=DataError):
            saved().predict(name, IMAGE)


def test_a_file_by_its_whole_path_belongs_to_no_other_folder(tmp_path, saved):
    write_png(tmp_path / "a" / "001.png")
    predictions = saved()
    assert predictions._file("/data/a/001") == tmp_path / "a" / "001.png"
    assert predictions._file("/data/b/001") is None


def test_predictions_behind_a_link_are_found(tmp_path, saved):
    write_png(tmp_path / "far" / "a.png")
    (tmp_path / "preds").mkdir()
    (tmp_path / "preds" / "city").symlink_to(tmp_path / "far")
    assert set(saved().files) == {"far/a"}  # once, at its own place
    shutil.move(tmp_path / "preds", tmp_path / "far.preds")
    assert set(SavedPredictions(tmp_path / "far.preds", saved().classes, 2).files) == {"city/a"}
