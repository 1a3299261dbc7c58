"""What a worker says, without a process: limits, predictions of another program, volumes, numbers that are none."""

from __future__ import annotations

import io
import json
import math
import shutil
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from synthcp.config.scales import SCALES, VOLUME_SCALES
from synthcp.config.variants import VARIANTS
from synthcp.data.drawn import phantoms, scenes
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.nifti import Grid, read_nifti, write_nifti
from synthcp.data.volume_preparation import VolumePreparation
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network, build_segmenter
from synthcp.monitor.promise import Promise
from synthcp.monitor.settings import MonitorSettings, load_settings, save_settings
from synthcp.report.rows import ResultRow, row_of, row_values
from synthcp.segmentation.saved import SavedPredictions
from synthcp.segmentation.settings import ModelSettings
from synthcp.system.runtime import Runtime
from synthcp.verbs.calibrate import calibrate
from synthcp.verbs.service.assessed import assessed
from synthcp.verbs.service.judge import Judge, work
from synthcp.verbs.service.limits import Limits
from synthcp.verbs.service.order import Asked, Order


@pytest.fixture
def asked(tmp_path):
    """Write an image, and ask for it."""

    def write(name: str, content: bytes, suffix: str = ".png", maps="none") -> Asked:
        (tmp_path / name).mkdir()
        asked = Asked("request-1", name, str(tmp_path / name), suffix, maps)
        asked.path.write_bytes(content)
        return asked

    return write


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def noise(*size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def told(judge: Judge, *asked: Asked) -> list[dict]:
    return [json.loads(answer.body) for answer in judge.answers(asked)]


def test_sizes_are_judged_before_a_pixel_is_decoded(monitor, asked, monkeypatch):
    judge = Judge(monitor, Limits(megapixels=1, aspect=4))
    monkeypatch.setattr("synthcp.verbs.service.judge.read_input", lambda *_: pytest.fail("decoded"))
    answers = told(
        judge,
        asked("large", png(noise(1200, 900))),
        asked("long", png(noise(20, 100))),
        asked("small", png(noise(9, 9))),
    )
    assert [answer["code"] for answer in answers] == [422] * 3
    assert [answer["message"] for answer in answers] == [
        "image.png is 900x1200; this service takes up to 1 million pixels; make it smaller",
        "image.png is 100x20; this service takes up to 4 times as long as wide; cut it",
        "image.png is 9x9; images are at least 16x16; replace or remove the file",
    ]
    assert answers[0] | {"message": ""} == {
        "status": "error", "code": 422, "message": "", "id": "large", "request_id": "request-1",
    }  # fmt: skip


def test_images_of_one_size_go_together_and_answers_keep_their_order(monitor, asked, monkeypatch):
    sizes = [(32, 40), (32, 40), (32, 40), (40, 32), (32, 40)]
    together, detect = [], monitor.detect
    monkeypatch.setattr(monitor, "detect", lambda x, *rest: together.append(len(x)) or detect(x, *rest))
    answers = told(
        Judge(monitor, Limits(batch=2)), *(asked(str(n), png(noise(*s, seed=n))) for n, s in enumerate(sizes))
    )
    assert [answer["id"] for answer in answers] == list("01234") and {answer["code"] for answer in answers} == {200}
    assert together == [2, 1, 1, 1]


def test_what_fails_together_is_judged_alone(monitor, asked, monkeypatch):
    detect = monitor.detect

    def bad(images, *rest):
        if images.amax() < 1:
            raise RuntimeError("of the model")
        return detect(images, *rest) if len(images) == 1 else pytest.fail("judged together")

    monkeypatch.setattr(monitor, "detect", bad)
    dark = png(np.zeros((32, 40, 3), np.uint8))
    first, second, third = told(
        Judge(monitor, Limits()), asked("a", dark), asked("b", dark), asked("c", png(noise(40, 40)))
    )
    assert (first["code"], second["code"], third["code"]) == (500, 500, 200)
    assert first["message"] == "M, G or F failed with RuntimeError; the log of the service says more"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_is_no_answer(value, fails):
    row = ResultRow("a", "a", error_share=0.5, class_quality={"road": 0.5})
    assert json.loads(assessed(row, {}).body)["mean_quality"] is None
    for wrong in (replace(row, error_share=value), replace(row, class_quality={"road": value})):
        with fails("a number that is NaN or infinite", "look at the monitor"):
            assessed(wrong, {})


@pytest.fixture
def calibrated(run_folder, tmp_path) -> Path:
    run = shutil.copytree(run_folder, tmp_path / "run")
    promise = Promise(alpha=0.3, delta=0.2, floor=0.05, area=0.1)
    data = Scenes(ScenesConfig(count=12, height=48, width=64, split="val"))
    calibrate(Monitor.load(run, "cpu"), data, promise=promise, facts={"data": "some scenes"})
    return run


def test_a_calibrated_monitor_decides(calibrated, asked, tmp_path):
    monitor = Monitor.load(calibrated, "cpu")
    image = asked("a", png(noise(48, 64)))
    assessment = monitor.assess(image.path)
    judge = Judge(monitor, Limits())
    (answer,) = told(judge, image)
    assert answer["decision"] == assessment.decision != "" and tuple(answer["reasons"]) == assessment.reasons
    assert {name: tuple(ends) for name, ends in answer["intervals"].items()} == assessment.intervals
    assert judge.facts()["calibrated"] and judge.facts()["promise"] == monitor.settings.calibration.in_words()
    assert answer["monitor"] == judge.facts()["fingerprint"]


class Pipe:
    """A pipe that is closed as soon as somebody listens."""

    def __init__(self) -> None:
        self.sent = []

    def send_bytes(self, content: bytes) -> None:
        self.sent.append(json.loads(content))

    def recv_bytes(self) -> bytes:
        raise EOFError


def test_a_process_tells_what_it_loaded_or_why_it_could_not(calibrated, tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr("synthcp.verbs.service.judge.write_logs", lambda: None)
    monkeypatch.setattr("synthcp.verbs.service.judge.log", lambda event, **fields: events.append(fields["problem"]))
    settings = load_settings(calibrated)
    save_settings(calibrated, replace(settings, calibration=replace(settings.calibration, model="hf:other")))
    pipe = Pipe()
    work(pipe, Order(calibrated, threads=1, device="cpu"))
    work(pipe, Order(tmp_path / "none", threads=1, device="cpu"))
    facts, error = pipe.sent
    assert facts["calibrated"] is False and facts["classes"] == list(settings.classes.names)
    assert events == [
        "the calibration is about hf:other, not about this M, so nothing is decided; calibrate with the same --model"
    ]
    assert error == {
        "error": f"{tmp_path / 'none'} holds no finished monitor (monitor.json is missing); give a folder "
        "written by synthcp fit"
    }


@pytest.fixture
def elsewhere(tmp_path) -> Monitor:
    """A monitor of another program's predictions, in a folder that is not asked."""
    labels = np.zeros((32, 40), np.uint8)
    (tmp_path / "old").mkdir()
    Image.fromarray(labels).save(tmp_path / "old" / "image.png")
    model = ModelSettings(f"preds:{tmp_path / 'old'}", layers=0)
    scale = replace(SCALES["tiny"], side=32)
    settings = MonitorSettings(scenes.CLASSES, 3, 2, VARIANTS["paper"], scale, model=model)
    torch.manual_seed(0)
    saved = SavedPredictions(tmp_path / "old", scenes.CLASSES, 2)
    return Monitor(settings, saved, build_generator(settings), build_network(settings), Runtime(torch.device("cpu")))


def test_the_prediction_beside_an_image_is_its_own(elsewhere, asked):
    labels = np.repeat(np.arange(8, dtype=np.uint8), 4)[:, None].repeat(40, axis=1)
    one = asked("one", png(noise(32, 40)), maps="npz")
    (Path(one.folder) / "prediction").mkdir()
    Image.fromarray(labels).save(Path(one.folder) / "prediction" / "image.png")
    wrong = asked("wrong", png(noise(32, 40)))
    (Path(wrong.folder) / "prediction").mkdir()
    Image.fromarray(labels + 9).save(Path(wrong.folder) / "prediction" / "image.png")
    large = asked("large", png(noise(32, 40)))
    (Path(large.folder) / "prediction").mkdir()
    Image.new("L", (1250, 1000)).save(Path(large.folder) / "prediction" / "image.png")
    judge = Judge(elsewhere, Limits(megapixels=1))
    first, second, third = told(judge, one, wrong, large)
    assert third["code"] == 422 and third["message"].startswith("prediction/image.png is 1250x1000; this service takes")
    with np.load(io.BytesIO(b64decode(first["maps"]["maps.npz"]))) as maps:
        assert np.array_equal(maps["prediction"], labels) and "anomaly" not in maps
    assert judge.facts()["takes_predictions"] and first["regions"] is None
    assert second["code"] == 422 and second["message"].startswith("prediction/image.png holds the label ")


@pytest.fixture(scope="module")
def volumes() -> Monitor:
    torch.manual_seed(0)
    preparation = VolumePreparation(spacing=(1.5, 1.5, 1.5), window="abdomen")
    classes, scale = phantoms.CLASSES, VOLUME_SCALES["tiny"]
    settings = MonitorSettings(classes, 1, 3, VARIANTS["paper"], scale, preparation=preparation)
    parts = build_segmenter(settings), build_generator(settings), build_network(settings)
    return Monitor(settings, *parts, Runtime(torch.device("cpu")))


def test_a_volume_comes_back_on_its_grid(volumes, asked, tmp_path):
    grid = Grid.of((20, 24, 16), np.diag([-1.5, 1.5, 2.0, 1.0]))
    write_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(40, 99, grid.size), grid)
    content = (tmp_path / "a.nii.gz").read_bytes()
    judge = Judge(volumes, Limits())
    answer, flat = told(judge, asked("case", content, ".nii.gz", "nifti"), asked("flat", content, ".nii.gz", "png"))
    row = row_of(
        "", "", volumes.assess(tmp_path / "a.nii.gz"), volumes.classes, volumes.settings.thresholds.anomaly, grid=grid
    )
    values = row_values(row)
    assert answer["volumes"] == pytest.approx(values["volumes"]) and answer["worst_point"] == values["worst_point"]
    assert answer["class_quality"] == pytest.approx(values["class_quality"], abs=1e-5)
    assert {"error.nii.gz", "prediction.nii.gz"} <= set(answer["maps"]) and "error_16bit.png" in flat["maps"]
    (tmp_path / "error.nii.gz").write_bytes(b64decode(answer["maps"]["error.nii.gz"]))
    came, at = read_nifti(tmp_path / "error.nii.gz")
    assert np.allclose(came, volumes.assess(tmp_path / "a.nii.gz").error_map.numpy(), atol=1e-5)
    assert np.array_equal(at.affine, nibabel.load(tmp_path / "a.nii.gz").affine)


def test_a_volume_that_claims_too_much_is_refused(volumes, asked, tmp_path):
    grid = Grid.of((120, 100, 100), np.eye(4))
    write_nifti(tmp_path / "a.nii", np.zeros(grid.size, np.uint8), grid)
    (answer,) = told(Judge(volumes, Limits(megapixels=1)), asked("case", (tmp_path / "a.nii").read_bytes(), ".nii"))
    assert answer["code"] == 422
    assert answer["message"] == "image.nii is 120x100x100; this service takes up to 1 million voxels; make it smaller"
