"""What an output folder holds of a volume: NIfTI on the grid of the file, planes, sizes and places in the table."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthcp.data.decathlon import leaning
from synthcp.data.nifti import Grid, read_nifti
from synthcp.records import AnomalousRegion, Assessment, Classes
from synthcp.report.cards import VIEWS, open_view
from synthcp.report.html import write_report
from synthcp.report.outputs import ResultsWriter, RunSettings, map_path
from synthcp.report.pictures import read_grey, read_picture
from synthcp.report.planes import PANEL
from synthcp.report.rows import read_rows, row_of

nibabel = pytest.importorskip("nibabel")
CLASSES = Classes(("air", "liver", "cyst"), ((0, 0, 0), (200, 0, 0), (0, 200, 0)), background=0)
SETTINGS = RunSettings(CLASSES, measure="Dice", anomaly_range=1.0, thresholds={"error": 0.5, "anomaly": 0.9})
SHAPE = (6, 9, 5)
AFFINE = leaning((2.0, 1.0, 3.0))
WORST = (2, 4, 2)
"""In RAS, that is in the file voxel (3, 4, 2): its first two axes are flipped."""


@pytest.fixture
def grid() -> Grid:
    return Grid.of(SHAPE, AFFINE)


@pytest.fixture
def assessment() -> Assessment:
    label_map = torch.zeros(SHAPE, dtype=torch.int64)
    label_map[1:4, 3:6, 1:4] = 1
    label_map[2, 4, 2] = 2
    error_map = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) / 10
    error_map[1:4, 3:6, 1:4] += 0.7
    quality = {"air": 0.9, "liver": 0.75, "cyst": 0.125}
    region = AnomalousRegion(9, 0.05, 0.95, 0.99, ((0, 1), (2, 5), (1, 4)), "liver")
    anomaly = error_map.flip(0)
    return Assessment(
        label_map, error_map, anomaly, error_map[None] / 2, quality, CLASSES.structures, ("look",), regions=(region,)
    )


@pytest.fixture
def out(tmp_path: Path, grid: Grid, assessment: Assessment) -> Path:
    truth = assessment.label_map.roll(1, 1)
    with ResultsWriter(tmp_path, SETTINGS, ground_truth=True) as writer:
        writer.write(writer.draw("sub/a", torch.rand(1, *SHAPE), assessment, truth, anomaly_mask=truth == 2, grid=grid))
        writer.add_row(row_of("sub/a", "a.nii.gz", assessment, CLASSES, 0.9, label_map=truth, grid=grid))
    write_report(tmp_path)
    return tmp_path


def test_maps_lie_on_the_grid_of_the_file(out: Path, grid: Grid, assessment: Assessment) -> None:
    kinds = {"prediction": assessment.label_map, "error": assessment.error_map, "anomaly": assessment.anomaly_map}
    kinds |= {"synthesis": assessment.synthesis[0], "truth": assessment.label_map.roll(1, 1)}
    for kind, expected in kinds.items():
        assert expected is not None
        path = out / "maps" / "sub" / f"a_{kind}.nii.gz"
        stored = nibabel.load(path)
        assert stored.shape == SHAPE and np.array_equal(stored.affine, grid.affine)
        assert [int(stored.header[code]) for code in ("qform_code", "sform_code")] == [1, 1]
        assert stored.get_data_dtype() == (np.uint8 if kind in ("prediction", "truth") else np.float32)
        assert np.array_equal(stored.get_fdata(), expected.flip(0, 1).double().numpy())  # left, posterior, superior
        assert np.array_equal(read_nifti(path)[0], expected.numpy())
    assert nibabel.load(out / "maps" / "sub" / "a_unknown.nii.gz").get_data_dtype() == np.uint8
    assert not list(out.rglob(".partial*")) and not (out / "maps" / "sub" / "a_image.nii.gz").exists()


def test_maps_of_another_size_are_brought_to_the_grid(tmp_path: Path, grid: Grid, assessment: Assessment) -> None:
    """Twice as many voxels along each axis: labels come back exactly, a constant stays."""
    twice = [
        part.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
        for part in (assessment.label_map, torch.full(SHAPE, 0.25))
    ]
    large = replace(assessment, label_map=twice[0], error_map=twice[1], anomaly_map=None, synthesis=twice[1][None])
    with ResultsWriter(tmp_path, SETTINGS) as writer:
        writer.write(writer.draw("a", twice[1][None], large, grid=grid))
        row = row_of("a", "a", large, CLASSES, grid=grid)
    assert np.array_equal(read_nifti(tmp_path / "maps" / "a_prediction.nii.gz")[0], assessment.label_map.numpy())
    assert (read_nifti(tmp_path / "maps" / "a_error.nii.gz")[0] == 0.25).all()
    assert row.volumes == pytest.approx({"liver": 26 * 6.0, "cyst": 6.0})


def test_each_channel_of_a_drawing_has_its_file(tmp_path: Path, grid: Grid, assessment: Assessment) -> None:
    drawn = torch.rand(2, *SHAPE)
    with ResultsWriter(tmp_path, SETTINGS) as writer:
        writer.write(writer.draw("a", drawn, replace(assessment, synthesis=drawn), grid=grid))
    for channel in range(2):
        assert np.array_equal(read_nifti(tmp_path / "maps" / f"a_synthesis_000{channel}.nii.gz")[0], drawn[channel])


def test_the_planes_go_through_the_worst_voxel(out: Path, assessment: Assessment) -> None:
    error = read_grey(map_path(out, "sub/a", "error_16bit"))
    assert error.shape == (PANEL, 3 * PANEL)
    assert error.max() == pytest.approx(float(assessment.error_map.max()), abs=0.05)
    prediction = np.asarray(read_picture(map_path(out, "sub/a", "prediction")))
    assert all((prediction[:, start : start + PANEL] == 2).any() for start in (0, PANEL, 2 * PANEL))


def test_the_table_tells_volumes_and_the_worst_point_in_mm(out: Path) -> None:
    (line,) = csv.DictReader((out / "results.csv").read_text().splitlines())
    assert [float(line[f"volume_mm3:{name}"]) for name in ("liver", "cyst")] == pytest.approx([26 * 6.0, 6.0])
    assert "volume_mm3:air" not in line and line["predicted_dice:cyst"] == "0.125"
    expected = AFFINE @ [SHAPE[0] - 1 - WORST[0], SHAPE[1] - 1 - WORST[1], WORST[2], 1]
    assert [float(along) for along in line["worst_point"].split()] == pytest.approx(expected[:3], abs=0.005)
    (row,) = read_rows(out)
    assert row.volumes == pytest.approx({"liver": 156.0, "cyst": 6.0}) and len(row.worst_point) == 3
    assert row.regions is not None and row.regions[0].box == ((0, 1), (2, 5), (1, 4))


def test_the_report_shows_planes_and_dice(out: Path) -> None:
    page = (out / "report.html").read_text()
    for text in ("Volumes, worst first", "Predicted Dice", "True Dice", "radiological", "0.156 ml", "Planes meet at"):
        assert text in page
    for plane, left, right in (("axial", "R", "L"), ("coronal", "R", "L"), ("sagittal", "A", "P")):
        assert f'<span data-left="{left}" data-right="{right}">{plane}</span>' in page
    assert 'class="objects"' not in page and not any(text in page for text in ("Above threshold", "true IoU"))
    assert 'class="swatch" style="--color: #c80000"></span>liver' in page and "</span>air" not in page
    assert page.count('<article class="card volume"') == 1 and "Unknown object" in page


def test_labels_lie_over_the_image(out: Path) -> None:
    image, prediction = (
        open_view(out, "sub/a", view, 3 * PANEL, CLASSES.background)
        for view in VIEWS
        if view.key in ("image", "prediction")
    )
    assert image is not None and prediction is not None
    labels = np.asarray(read_picture(map_path(out, "sub/a", "prediction")))
    seen, under = np.asarray(prediction).astype(int), np.asarray(image).astype(int)
    assert (seen[labels == 0] == under[labels == 0]).all()
    np.testing.assert_allclose(seen[labels == 1], under[labels == 1] / 2 + [100, 0, 0], atol=2)


def test_without_a_grid_there_are_pictures_alone(tmp_path: Path, assessment: Assessment) -> None:
    with ResultsWriter(tmp_path, SETTINGS) as writer:
        writer.write(writer.draw("a", torch.rand(1, *SHAPE), assessment))
        writer.add_row(row_of("a", "a", assessment, CLASSES, 0.9))
    write_report(tmp_path)
    assert not list(tmp_path.rglob("*.nii.gz")) and map_path(tmp_path, "a", "error").is_file()
    (row,) = read_rows(tmp_path)
    assert row.volumes == {} and row.worst_point == ()
