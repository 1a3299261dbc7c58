"""How the maps of a run are written: as pictures, as arrays, or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest

from synthcp.data.images import read_image
from synthcp.data.working_size import resized
from synthcp.errors import InputError
from synthcp.report.html import write_report
from synthcp.report.outputs import read_settings
from synthcp.report.rows import read_rows
from synthcp.system.kept import Work
from synthcp.verbs.evaluate import evaluate
from synthcp.verbs.score import score


def test_arrays_are_the_maps_of_the_monitor(monitor, images, tmp_path):
    score(monitor, images, tmp_path / "out", maps="npz")
    assert {path.name for path in (tmp_path / "out/maps").iterdir()} == {f"test-000{n}_maps.npz" for n in range(5)}
    assessment = monitor.assess(read_image(images / "test-0003.png"))
    with np.load(tmp_path / "out/maps/test-0003_maps.npz") as found:
        assert set(found) == {"prediction", "synthesis", "error", "anomaly"}
        assert found["prediction"].dtype == np.uint8
        assert np.array_equal(found["prediction"], assessment.label_map)
        assert np.array_equal(found["error"], assessment.error_map)
        assert np.array_equal(found["anomaly"], assessment.anomaly_map)
        assert np.array_equal(found["synthesis"], assessment.synthesis)


def test_arrays_of_an_evaluation_hold_the_truth(monitor, scenes, tmp_path):
    evaluate(monitor, scenes, tmp_path / "out", detectors=["synthcp"], maps="npz")
    with np.load(tmp_path / f"out/maps/{scenes.ids[1]}_maps.npz") as found:
        assert np.array_equal(found["truth"], resized(scenes[1], monitor.settings.scale.side).label_map)


@pytest.mark.parametrize("maps", ["none", "npz"])
def test_without_pictures_the_rows_are_the_same_and_the_page_says_so(monitor, images, tmp_path, maps):
    rows = score(monitor, images, tmp_path / "png")
    assert score(monitor, images, tmp_path / "out", maps=maps) == rows
    assert (tmp_path / "out/results.csv").read_bytes() == (tmp_path / "png/results.csv").read_bytes()
    assert (tmp_path / "out/maps").exists() == (maps == "npz")
    page = (tmp_path / "out/report.html").read_text()
    assert f"--maps {maps}" in page and "maps/" not in page and all(row.id in page for row in rows)
    assert "--maps" not in (tmp_path / "png/report.html").read_text()
    assert read_settings(tmp_path / "out").maps == maps


@pytest.mark.parametrize("verb", ["score", "eval"])
def test_without_a_report_there_is_none_and_it_can_be_written_later(synthcp, run_folder, images, tmp_path, verb):
    data = [images] if verb == "score" else ["--data", "scenes:?count=3&size=48x64"]
    out = tmp_path / "out"
    ended = synthcp(verb, *data, "--monitor", run_folder, "--out", out, "--device", "cpu", "--no-report", "--quiet")
    assert ended.code == 0 and str(out / "results.csv") in ended.stdout and not (out / "report.html").exists()
    assert synthcp("report", out).code == 0 and (out / "report.html").is_file()


def test_the_page_from_memory_is_that_from_files(monitor, images, scenes, tmp_path):
    score(monitor, images, tmp_path / "score", budget=2)
    evaluate(monitor, scenes, tmp_path / "eval", detectors=["synthcp"])
    for name in ("score", "eval"):
        page = (tmp_path / name / "report.html").read_text()
        write_report(tmp_path / name)
        assert (tmp_path / name / "report.html").read_text() == page


def test_an_unknown_kind_is_refused_before_anything_is_written(monitor, synthcp, run_folder, images, tmp_path, fails):
    with fails("kind of maps 'tiff' is unknown", "choose one of png, npz, none", error=InputError):
        score(monitor, images, tmp_path / "out", maps="tiff")
    ended = synthcp("score", images, "--monitor", run_folder, "--out", tmp_path / "out", "--maps", "tiff")
    assert (ended.code, len(ended.stderr)) == (2, 1) and not (tmp_path / "out").exists()


def test_maps_of_an_image_that_failed_later_are_removed(monitor, images, tmp_path, monkeypatch):
    found = Work.keep

    def fail(self, index, done):
        if index == 2:
            raise MemoryError
        found(self, index, done)

    monkeypatch.setattr(Work, "keep", fail)
    rows = score(monitor, images, tmp_path / "out", maps="npz")
    assert [row.status for row in rows] == ["ok", "error", "ok", "ok", "ok"]
    assert not list((tmp_path / "out/maps").glob("test-0001*")) and len(read_rows(tmp_path / "out")) == 5
    assert "test-0001_maps.npz" not in json.loads((tmp_path / "out/files.json").read_text())["files"]
