"""Images of one size that go through the networks together have the results that each has alone."""

from __future__ import annotations

import pytest
import torch

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.images import read_image
from synthcp.monitor.monitor import Monitor
from synthcp.report.pictures import image_picture
from synthcp.report.rows import read_rows
from synthcp.segmentation.base import Segmenter
from synthcp.verbs.evaluate import evaluate
from synthcp.verbs.score import score

COUNT = 7


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """Files of two sizes, four and three of them."""
    folder = tmp_path_factory.mktemp("streets")
    for number, scene in enumerate(Scenes(ScenesConfig(count=COUNT, height=48, width=64, split="test"))):
        image_picture(scene.image[:, :, : 64 - 8 * (number > 3)]).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def sizes(monkeypatch):
    """How many images M was shown at once, each time that it looked at images by their names."""
    seen, predict = [], Segmenter.predict

    def note(self, sample_id, image):
        if sample_id:
            seen.append(len(image))
        return predict(self, sample_id, image)

    monkeypatch.setattr(Segmenter, "predict", note)
    return seen


def close(first, second):
    assert first.error_share == pytest.approx(second.error_share, abs=1e-5)
    assert first.class_quality == pytest.approx(second.class_quality, abs=1e-5)
    assert (first.alarms, first.status, first.id) == (second.alarms, second.status, second.id)


def test_score_in_batches(monitor, streets, tmp_path, sizes):
    alone = score(monitor, streets, tmp_path / "alone", budget=2)
    assert sizes == [1] * COUNT
    sizes.clear()
    together = score(monitor, streets, tmp_path / "together", batch=3, budget=2)
    assert sizes == [3, 1, 3]
    for first, second in zip(alone, together, strict=True):
        close(first, second)
    assert (tmp_path / "alone/annotate.txt").read_text() == (tmp_path / "together/annotate.txt").read_text()


def test_maps_of_a_batch_are_those_of_each(monitor, streets):
    images = torch.stack([read_image(streets / f"{number}.png") for number in range(4)])
    prediction, detection = monitor.detect(images)
    parts = zip(images, prediction.parts(), detection.parts(4), strict=True)
    for image, own, said in parts:
        found, alone = monitor.assessment(own, said, image.shape[1:]), monitor.assess(image)
        for name in ("error_map", "anomaly_map", "synthesis"):
            torch.testing.assert_close(getattr(found, name), getattr(alone, name), atol=1e-5, rtol=0)
        assert (found.label_map != alone.label_map).float().mean() < 1e-3


def test_an_m_that_takes_one_image_at_a_time_is_shown_one(monitor, streets, tmp_path, monkeypatch):
    predict = Segmenter.predict

    def one(self, sample_id, image):
        if len(image) > 1:
            raise RuntimeError("got 3 images, expected 1")
        return predict(self, sample_id, image)

    alone = score(monitor, streets, tmp_path / "alone")
    monkeypatch.setattr(Segmenter, "predict", one)
    assert score(monitor, streets, tmp_path / "out", batch=3) == alone


def test_one_bad_image_of_a_batch_costs_no_other(monitor, streets, tmp_path, monkeypatch):
    alone = score(monitor, streets, tmp_path / "alone")
    worst = read_image(streets / "1.png")
    detect = Monitor.detect

    def fail(self, images, *others):
        if any(image.equal(worst) for image in images if image.shape == worst.shape):
            raise MemoryError
        return detect(self, images, *others)

    monkeypatch.setattr(Monitor, "detect", fail)
    rows = score(monitor, streets, tmp_path / "out", batch=4)
    assert [row.status for row in rows] == ["ok", "error", *["ok"] * 5]
    for first, second in zip(rows, alone, strict=True):
        if first.id != "1":
            close(first, second)


def test_eval_in_batches(monitor, tmp_path, sizes):
    scenes = Scenes(ScenesConfig(count=5, height=48, width=64, split="test"))
    alone = evaluate(monitor, scenes, tmp_path / "alone")
    sizes.clear()
    together = evaluate(monitor, scenes, tmp_path / "together", batch=2)
    assert sizes == [2, 2, 1]
    for first, second in zip(alone.detectors, together.detectors, strict=True):
        assert first.row == second.row
        assert vars(first.error_pooled) == pytest.approx(vars(second.error_pooled), abs=1e-4)
    rows = zip(read_rows(tmp_path / "alone"), read_rows(tmp_path / "together"), strict=True)
    for first, second in rows:
        close(first, second)
