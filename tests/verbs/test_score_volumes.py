"""Volumes through a monitor into an output folder: by the command line, from good and from broken files."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synthcp.cli.exit_codes import BAD_INPUT, FINE, SOME_FAILED
from synthcp.config.scales import VOLUME_SCALES
from synthcp.config.variants import VARIANTS
from synthcp.data.decathlon import Decathlon, leaning, write_decathlon
from synthcp.data.drawn.phantoms import CLASSES, Phantoms, PhantomsConfig
from synthcp.data.nifti import Grid, read_grid, read_nifti, write_nifti
from synthcp.data.volume_preparation import VolumePreparation
from synthcp.monitor.inputs import find_inputs
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network, build_segmenter
from synthcp.monitor.settings import MonitorSettings, load_settings, save_settings
from synthcp.report.rows import read_rows
from synthcp.segmentation.settings import ModelSettings
from synthcp.segmentation.specs import reopen_model
from synthcp.system.runtime import Runtime
from synthcp.verbs.evaluate import evaluate
from synthcp.verbs.score import score

nibabel = pytest.importorskip("nibabel")
SIZE = (20, 24, 16)
PREPARATION = VolumePreparation(spacing=(1.5, 1.5, 1.5), window="abdomen")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four phantoms on a grid that leans, 1 x 1 x 1.5 mm."""
    folder = tmp_path_factory.mktemp("data") / "Task00_Phantoms"
    write_decathlon(folder, Phantoms(PhantomsConfig(count=4, size=SIZE)), affine=leaning((1.5, 1.5, 2.0)))
    return folder


def write_monitor(folder: Path, model: ModelSettings) -> Path:
    """Write a monitor of volumes with fresh weights."""
    torch.manual_seed(0)
    scale = VOLUME_SCALES["tiny"]
    settings = MonitorSettings(CLASSES, 1, 3, VARIANTS["paper"], scale, model=model, preparation=PREPARATION)
    predictor = build_segmenter(settings) if model.is_built_in else reopen_model(model, CLASSES, 1).predictor
    parts = predictor, build_generator(settings), build_network(settings)
    Monitor(settings, *parts, Runtime(torch.device("cpu"))).save(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_monitor(tmp_path_factory.mktemp("runs") / "volumes", ModelSettings("deeplab"))


@pytest.fixture
def image(root: Path) -> Path:
    return sorted((root / "imagesTr").glob("*.nii.gz"))[0]


def table(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "results.csv").read_text().splitlines()))


def test_maps_overlay_the_file_that_came_in(synthcp, run, image, tmp_path):
    ended = synthcp("score", image, "--monitor", run, "--out", tmp_path, "--device", "cpu", "--quiet")
    assert ended.code == FINE and ended.stdout.startswith("1 volumes, ")
    came, name = nibabel.load(image), image.name.removesuffix(".nii.gz")
    for kind, dtype in {"error": "f4", "prediction": "u1", "synthesis": "f4", "anomaly": "f4"}.items():
        stored = nibabel.load(tmp_path / "maps" / f"{name}_{kind}.nii.gz")
        assert stored.shape == came.shape == SIZE and stored.get_data_dtype() == np.dtype(dtype)
        assert np.array_equal(stored.affine, came.affine) and np.array_equal(stored.get_sform(), came.get_sform())
        for field in ("qform_code", "sform_code", "pixdim", "xyzt_units"):
            assert np.array_equal(stored.header[field], came.header[field]), field
    assessment = Monitor.load(run, "cpu").assess(image)
    assert np.array_equal(read_nifti(tmp_path / "maps" / f"{name}_prediction.nii.gz")[0], assessment.label_map)
    np.testing.assert_allclose(read_nifti(tmp_path / "maps" / f"{name}_error.nii.gz")[0], assessment.error_map)
    (line,) = table(tmp_path)
    voxels = int((assessment.label_map == 1).sum())
    assert float(line["volume_mm3:organ"]) == pytest.approx(voxels * 1.5 * 1.5 * 2.0, rel=1e-5)
    assert float(line["predicted_dice:organ"]) == pytest.approx(assessment.class_quality["organ"], rel=1e-4)
    assert float(line["error_share"]) == pytest.approx(assessment.error_share, rel=1e-4)


def nan(path: Path) -> None:
    values, grid = read_nifti(path)
    values = values.astype(np.float32)
    values[0, 0, 0] = np.nan
    write_nifti(path, values, grid)


def holding(*size: int, dtype: object = np.float32) -> Callable[[Path], None]:
    return lambda path: nibabel.save(nibabel.Nifti1Image(np.zeros(size, dtype), np.eye(4)), path)


BROKEN: dict[str, Callable[[Path], object]] = {
    "cannot be read": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "NaN": nan,
    "is flat": holding(20, 24),
    "colours": holding(20, 24, 16, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]),
    "2 channels": holding(20, 24, 16, 2),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_file_alone_is_refused_and_beside_others_named(synthcp, run, image, tmp_path, message):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("good", "bad"):
        (folder / f"{name}.nii.gz").write_bytes(image.read_bytes())
    BROKEN[message](folder / "bad.nii.gz")
    common = ("--monitor", run, "--device", "cpu", "--quiet")
    ended = synthcp("score", folder, *common, "--out", tmp_path / "out")
    assert ended.code == SOME_FAILED and len(ended.stderr) == 1 and "1 of 2 volumes failed" in ended.stderr[0]
    bad, good = table(tmp_path / "out")
    assert (bad["id"], bad["status"], good["status"]) == ("bad", "error", "ok") and message in bad["message"]
    assert (tmp_path / "out" / "maps" / "good_error.nii.gz").is_file()
    alone = synthcp("score", folder / "bad.nii.gz", *common, "--out", tmp_path / "alone")
    assert alone.code == 2 and len(alone.stderr) == 1 and message in alone.stderr[0]


def test_a_picture_is_no_volume_and_a_volume_no_picture(run, run_folder, image, tmp_path, fails):
    Image.new("L", (32, 32)).save(tmp_path / "a.png")
    with fails("a.png is no volume", "fitted on volumes", "give it .nii.gz"):
        score(run, tmp_path / "a.png", tmp_path / "out")
    with fails("is a volume", "fitted on flat images"):
        score(run_folder, image, tmp_path / "out")
    with fails("is a volume", "fitted on flat images"):
        Monitor.load(run_folder, "cpu").assess(image)
    assert not (tmp_path / "out").exists()


def test_volumes_that_came_from_no_files_tell_nothing_of_files(run, image, tmp_path, fails):
    settings = load_settings(run)
    for path in run.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    save_settings(tmp_path, MonitorSettings(**{**vars(settings), "preparation": None}))
    with fails("came from no files", "Monitor.assess a tensor"):
        Monitor.load(tmp_path, "cpu").assess(image)


def test_the_channels_of_nnunet_are_one_volume(run, image, tmp_path):
    for channel in range(2):
        (tmp_path / f"case_000{channel}.nii.gz").write_bytes(image.read_bytes())
    (found,) = find_inputs([tmp_path], load_settings(run))
    assert found.id == "case" and [path.name for path in found.paths] == ["case_0000.nii.gz", "case_0001.nii.gz"]


def test_predictions_on_disk_lie_on_the_grid_of_the_file(root, image, tmp_path, fails):
    """They have the size of the file, not the working size, and come back voxel by voxel."""
    labels = root / "labelsTr"
    run = write_monitor(tmp_path / "run", ModelSettings(f"preds:{labels}", layers=0, probe_size=SIZE))
    (row,) = score(Monitor.load(run, "cpu", model=f"preds:{labels}"), image, tmp_path / "out")
    name = image.name.removesuffix(".nii.gz")
    truth, grid = read_nifti(labels / image.name)
    assert np.array_equal(read_nifti(tmp_path / "out" / "maps" / f"{name}_prediction.nii.gz")[0], truth)
    assert row.volumes["organ"] == pytest.approx((truth == 1).sum() * 4.5)
    assert not (tmp_path / "out" / "maps" / f"{name}_anomaly.nii.gz").exists()
    elsewhere = Grid.of(SIZE, np.diag([1.0, 1.0, 1.0, 1.0]))
    (tmp_path / "preds").mkdir()
    write_nifti(tmp_path / "preds" / image.name, truth.astype(np.uint8), elsewhere)
    with fails("lie apart", str(tmp_path / "preds" / image.name), str(image)):
        score(Monitor.load(run, "cpu", model=f"preds:{tmp_path / 'preds'}"), image, tmp_path / "apart")


def test_an_evaluation_writes_truth_and_maps_on_the_grid(run, root, tmp_path):
    test = Decathlon(root, "test", PREPARATION)
    results = evaluate(run, test, tmp_path, detectors=["synthcp"])
    assert results.measure == "Dice" and set(results.class_quality) == {"organ", "lesion"}
    for number, sample_id in enumerate(test.ids):
        for kind in ("error", "prediction", "synthesis", "truth"):
            stored = read_grid(tmp_path / "maps" / f"{sample_id}_{kind}.nii.gz")
            assert np.array_equal(stored.affine, test.grid(number).affine) and stored.shape == SIZE
        drawn = read_nifti(root / "labelsTr" / f"{sample_id}.nii.gz")[0]
        kept = read_nifti(tmp_path / "maps" / f"{sample_id}_truth.nii.gz")[0]
        assert (kept == drawn).mean() > 0.9  # from 2 mm to 1.5 mm along one axis, and back
    rows = read_rows(tmp_path)
    assert [row.true_class_quality["organ"] for row in rows] == pytest.approx(
        [true for true, _ in results.class_quality["organ"]], abs=1e-5
    )
    page = (tmp_path / "report.html").read_text()
    assert "True Dice" in page and "mean Dice of the segmenter" in page and "Predicted against true Dice" in page


def test_an_audit_of_volumes_is_refused_before_anything_is_written(synthcp, run, root, tmp_path):
    data = f"decathlon:{root}?split=all&spacing=1.5&window=abdomen"
    ended = synthcp("audit", "--data", data, "--monitor", run, "--out", tmp_path / "out", "--device", "cpu", "--quiet")
    assert ended.code == BAD_INPUT and "is a monitor of volumes; an audit shows flat images" in ended.stderr[0]
    assert not (tmp_path / "out").exists()
