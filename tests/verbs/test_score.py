from __future__ import annotations

import shutil
from dataclasses import replace

import h5py
import pytest
import torch
from PIL import Image

from synthcp.comparison.anomaly_fusion import AnomalyFusion
from synthcp.data.images import read_image
from synthcp.errors import DataError, InputError, ShapeError
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.settings import load_settings, save_settings
from synthcp.report.annotate import read_choice
from synthcp.report.outputs import map_path, read_settings
from synthcp.report.pictures import read_grey
from synthcp.report.rows import read_regions, read_rows
from synthcp.verbs.evaluate import evaluate
from synthcp.verbs.score import parse_shard, score
from synthcp.verbs.select import select

IDS = [f"test-000{number}" for number in range(5)]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/", "-1/2", "1/2/3", ""])
def test_a_wrong_shard_is_refused(monitor, tmp_path, text):
    with pytest.raises(InputError, match="write i/n with i from 1 to n"):
        score(monitor, tmp_path, tmp_path / "out", shard=text)
    assert parse_shard("2/3") == (2, 3)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shards_share_nothing_and_are_the_whole(monitor, images, tmp_path, count):
    parts = [score(monitor, images, tmp_path / str(n), shard=f"{n}/{count}", report=False) for n in range(1, count + 1)]
    assert [[row.id for row in part] for part in parts] == [IDS[n::count] for n in range(count)]


def test_a_shard_without_an_image_is_refused(monitor, images, tmp_path, fails):
    with fails("5 images are too few for shard 6/6; use fewer shards"):
        score(monitor, [images], tmp_path, shard="6/6")


def test_scores_are_those_of_the_monitor(monitor, run_folder, images, scenes, tmp_path):
    calls = []
    evaluate(monitor, scenes, tmp_path, detectors=["msp"])  # its folder is replaced
    rows = score(run_folder, [images], tmp_path, progress=lambda *call: calls.append(call))
    assert calls == [("score", step, 5, {}) for step in range(1, 6)]
    assert [row.id for row in rows] == [row.id for row in read_rows(tmp_path)] == IDS
    for row in rows:
        assessment = monitor.assess(read_image(images / f"{row.id}.png"))
        assert row.error_share == pytest.approx(assessment.error_share)
        assert row.class_quality == pytest.approx(assessment.class_quality)
        assert row.alarms == assessment.alarms
        unknown = assessment.anomaly_map > monitor.settings.learnt.thresholds.anomaly
        assert row.anomaly_share == pytest.approx(unknown.float().mean().item())
        assert row.regions == assessment.regions
        error_map = torch.from_numpy(read_grey(map_path(tmp_path, row.id, "error_16bit")))
        assert torch.allclose(error_map, assessment.error_map.double(), atol=1e-5)
    regions = read_regions(tmp_path)
    assert {row.id: len(row.regions) for row in rows if row.regions} == {name: len(of) for name, of in regions.items()}
    assert sum(map(len, regions.values())) > 0
    assert (tmp_path / "report.html").is_file() and not (tmp_path / "metrics.json").exists()
    assert read_settings(tmp_path).monitor == str(run_folder)
    with Image.open(map_path(tmp_path, "test-0003", "image")) as picture:
        assert picture.size == (61, 48)  # of the image itself


def test_a_bad_image_becomes_a_row_and_is_not_chosen(monitor, images, bad, tmp_path):
    rows = score(monitor, [images, bad], tmp_path / "out", budget=50)
    (failed,) = [row for row in rows if row.status == "error"]
    assert failed.id == "bad" and "bad.png is not an image" in failed.message and len(rows) == 6
    assert "bad.png is not an image" in (tmp_path / "out" / "report.html").read_text()
    assert set(read_choice(tmp_path / "out")) == set(IDS)


@pytest.mark.parametrize("error", [DataError, ShapeError, InputError])
def test_an_image_that_a_model_cannot_take_is_one_row(monitor, images, tmp_path, monkeypatch, error):
    detect = Monitor.detect

    def fail_at_62(self, image, *others):
        if image.shape[3] == 62:
            raise error("it wants images of 48x64")
        return detect(self, image, *others)

    monkeypatch.setattr(Monitor, "detect", fail_at_62)
    rows = score(monitor, images, tmp_path)
    assert [(row.id, row.message) for row in rows if row.status == "error"] == [(IDS[2], "it wants images of 48x64")]
    assert len(rows) == 5


def test_no_good_image_at_all_is_an_error(monitor, bad, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.png is empty .* none of the 1 others"):
        score(monitor, [tmp_path], tmp_path / "out")


def test_a_budget_chooses_by_badness_and_embedding(monitor, images, tmp_path):
    rows = score(monitor, [images], tmp_path, budget=3)
    embeddings = []
    for row in rows:
        image = read_image(images / f"{row.id}.png")[None]
        embeddings.append(monitor.embed(image, monitor.predict(image))[0].numpy())
    chosen = [rows[index] for index in select([row.error_share for row in rows], embeddings, 3)]
    assert read_choice(tmp_path) == {row.id: rank for rank, row in enumerate(chosen, start=1)}
    assert (tmp_path / "annotate.txt").read_text().splitlines() == [row.source for row in chosen]
    assert "to annotate: 3" in (tmp_path / "report.html").read_text()
    score(monitor, [images], tmp_path)  # the next run chooses none
    assert not list(tmp_path.glob("annotate.*")) and "to annotate" not in (tmp_path / "report.html").read_text()


def test_an_image_given_twice_is_chosen_last(monitor, images, tmp_path):
    for name in ("a", "b", "c"):
        shutil.copy(images / "test-0001.png", tmp_path / f"{name}.png")
    score(monitor, [images, tmp_path], tmp_path / "out", budget=8)
    assert set(list(read_choice(tmp_path / "out"))[-3:]) < {"a", "b", "c", "test-0001"}


def test_score_files_hold_the_anomaly_maps(monitor, images, tmp_path):
    score(monitor, [images], tmp_path, smiyc="Track-test")
    for name in IDS:
        expected = monitor.assess(images / f"{name}.png").anomaly_map
        with h5py.File(tmp_path / f"anomaly_p/synthcp/Track-test/{name}.hdf5", "r") as file:
            found = file["value"][()]
        assert found.shape == expected.shape and torch.from_numpy(found).equal(expected.half())


def test_score_files_that_cannot_be_are_refused_before_anything_is_written(
    monitor, images, tmp_path, fails, monkeypatch
):
    shutil.copytree(images, tmp_path / "twice/a")
    shutil.copytree(images, tmp_path / "twice/b")
    with fails("would both go to", "score them apart"):
        score(monitor, tmp_path / "twice", tmp_path / "out", smiyc="Track-test")
    with fails("'../Track' of a data set is no plain file name"):
        score(monitor, images, tmp_path / "out", smiyc="../Track")
    monkeypatch.setattr(Monitor, "segmenter", None)
    with fails("predictions on disk give no anomaly scores"):
        score(monitor, images, tmp_path / "out", smiyc="Track-test")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("largest", [2.0, 1.0])
def test_pictures_of_the_anomaly_map_span_its_range(run_folder, images, tmp_path, largest):
    fusion = AnomalyFusion((0.5, -2.0, -3.0, -2.0, 0.0), (0.3, 1.0, 1.0, 1.0, 1.0)) if largest == 1 else None
    shutil.copytree(run_folder, tmp_path / "run")
    settings = load_settings(run_folder)
    save_settings(tmp_path / "run", replace(settings, learnt=replace(settings.learnt, fusion=fusion)))
    path = images / "test-0000.png"
    score(tmp_path / "run", path, tmp_path / "out")
    assert read_settings(tmp_path / "out").anomaly_range == largest
    found = torch.from_numpy(read_grey(map_path(tmp_path / "out", path.stem, "anomaly_16bit"))) * largest
    expected = Monitor.load(tmp_path / "run", "cpu").assess(path).anomaly_map
    torch.testing.assert_close(found.float(), expected, atol=1e-4, rtol=0)


def test_an_output_folder_that_holds_the_monitor_is_refused(run_folder, tmp_path, fails):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    for out in (run_folder, run_folder.parent):
        with fails(f"{out} holds the monitor", "choose another output folder", error=InputError):
            score(run_folder, tmp_path / "a.png", out)
    assert (run_folder / "monitor.json").exists()
