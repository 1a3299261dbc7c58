"""A monitor without a fit: three lines around any M."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import synthcp
from synthcp.comparison.logit_scores import energy, entropy
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.transforms import resize
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.promise import Promise
from synthcp.monitor.wrapped import wrap
from synthcp.report.pictures import image_picture
from synthcp.segmentation.base import Segmenter

STREETS = Scenes(ScenesConfig(count=8, height=48, width=64))
CLASSES = STREETS.classes.names


class Grey(nn.Module):
    """Labels by brightness, in nine classes, and has one feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 1, 1), nn.Conv2d(1, 9, 1)
        levels = torch.linspace(0, 1, 9)
        nn.init.constant_(self.first.weight, 1 / 3)
        nn.init.zeros_(self.first.bias)  # type: ignore[arg-type]
        self.last.weight.data = 800 * levels.view(9, 1, 1, 1)
        self.last.bias.data = -400 * levels.square()

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(image))
        return logits


def images(folder: Path, count: int = 6) -> Path:
    folder.mkdir()
    for sample in list(STREETS)[:count]:
        image_picture(sample.image).save(folder / f"{sample.id}.png")
    return folder


def test_at_once_the_error_map_is_msp_and_the_anomaly_map_weighs_entropy_and_energy() -> None:
    torch.manual_seed(0)
    monitor, image = synthcp.wrap(Grey(), scale="tiny"), STREETS[0].image
    assert monitor.classes.names[:2] == ("class 0", "class 1") and len(monitor.classes) == 9
    assessment = monitor.assess(image)
    small = resize(image, (48, 64))[None]
    prediction, detection = monitor.detect(small)
    torch.testing.assert_close(detection.error_map, 1 - prediction.logits.softmax(dim=1).amax(dim=1))
    cue = entropy(prediction.logits) / 0.2 + energy(prediction.logits) / 5
    assert detection.anomaly_map is not None and assessment.anomaly_map is not None
    order = np.corrcoef(cue.flatten().numpy(), torch.logit(detection.anomaly_map.double()).flatten().numpy())[0, 1]
    assert order > 0.9  # but for the smoothing
    assert assessment.alarms == () and assessment.regions == () and assessment.synthesis is None


def test_a_few_images_tell_what_is_usual_and_the_unusual_alarms(tmp_path: Path) -> None:
    monitor, folder = wrap(Grey(), CLASSES, scale="tiny"), images(tmp_path / "images")
    before = monitor.settings
    monitor.observe([*(sample.image for sample in list(STREETS)[:5]), next(folder.iterdir())])
    usual, fusion = monitor.settings.thresholds, monitor.settings.learnt.fusion
    assert monitor.classes.names == CLASSES and monitor.settings != before and fusion is not None
    shares = [float(monitor.assess(sample.image).error_map.mean()) for sample in list(STREETS)[:5]]
    assert min(shares) < usual.error_share <= max(shares) + 1e-3
    doubtful = torch.full((3, 48, 64), 1 / 16)  # between two classes
    assert any("are expected to be wrong" in alarm for alarm in monitor.assess(doubtful).alarms)
    monitor.save(tmp_path / "run")
    again = Monitor.load(tmp_path / "run", "cpu", model=Grey())
    assert again.assess(STREETS[7].image).anomaly_map.equal(monitor.assess(STREETS[7].image).anomaly_map)  # type: ignore[union-attr, arg-type]


def test_it_is_a_monitor_like_any_other(tmp_path: Path) -> None:
    monitor = wrap(Grey(), CLASSES, scale="tiny")
    monitor.observe(sample.image for sample in STREETS)
    monitor.save(tmp_path / "run")
    rows = synthcp.score(monitor, images(tmp_path / "images"), tmp_path / "scores")
    assert [row.status for row in rows] == ["ok"] * 6 and (tmp_path / "scores" / "report.html").exists()
    labelled = Scenes(ScenesConfig(count=12, height=48, width=64, split="val"))
    results = synthcp.evaluate(monitor, labelled, tmp_path / "eval", detectors=["msp", "synthcp"])
    first, second = (result.error_pooled for result in results.detectors if not result.row.raw)
    assert first is not None and second is not None
    assert first.ap_error == pytest.approx(second.ap_error, abs=1e-4)
    synthcp.calibrate(monitor, labelled, promise=Promise(alpha=0.2, delta=0.5, area=0.1))
    assert monitor.assess(STREETS[0].image).decision in ("accept", "review")


class Named(Segmenter):
    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return image, [image]


def test_the_classes_are_those_of_m_or_those_that_are_given(fails: Any) -> None:
    assert len(wrap(Named(2, (0.0,), (1.0,))).classes) == 3
    assert len(wrap(lambda image: image[:, :1]).classes) == 2  # a sigmoid
    assert wrap(lambda image: image, ["a", "b", "c"]).classes.names == ("a", "b", "c")
    with fails("does not tell its classes; give them, in their order"):
        wrap("preds:somewhere")
    with fails("scale 'huge' is unknown"):
        wrap(Grey(), scale="huge")


def test_volumes_take_the_same_path() -> None:
    monitor = wrap(nn.Sequential(nn.Conv3d(1, 2, 1), nn.Conv3d(2, 3, 1)), channels=1, spatial_dims=3)
    volume = torch.rand(1, 16, 18, 20)
    monitor.observe([volume])
    assert monitor.assess(volume).error_map.shape == (16, 18, 20)


def test_a_fitted_monitor_knows_what_is_usual(monitor: Monitor, fails: Any) -> None:
    with fails("learnt what is usual when it was fitted; calibrate renews"):
        monitor.observe([STREETS[0].image])
    with fails("no image tells what is usual"):
        wrap(Grey()).observe([])


def test_the_command_line_scores_without_a_monitor(synthcp: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "grey.py").write_text(
        "import torch\ndef grey():\n    levels = torch.linspace(0, 1, 5)[:, None, None]\n"
        "    return lambda image: -8 * (image.mean(dim=1, keepdim=True) - levels) ** 2\n"
    )
    folder, out = images(tmp_path / "images"), tmp_path / "out"
    ended = synthcp("score", folder, "--model", f"{tmp_path / 'grey.py'}:grey", "--out", out, "--quiet")
    assert ended.code == 0, ended.stderr
    assert "nothing was fitted" in ended.stderr[0] and "what is usual is read off 6 of the images" in ended.stderr[0]
    assert (out / "report.html").exists() and len((out / "results.csv").read_text().splitlines()) == 7
    ended = synthcp("score", folder, "--out", tmp_path / "none")
    assert ended.code == 2 and "neither --monitor nor --model is named" in ended.stderr[0]
