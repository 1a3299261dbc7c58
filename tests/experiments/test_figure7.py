from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from synthcp.config.scales import Scale
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.experiments.anomaly_run import AnomalyRun
from synthcp.experiments.figure7 import WIDTH, figure7
from synthcp.fitting.config import FitConfig
from synthcp.fitting.run import begin
from synthcp.fitting.stages import M


@pytest.fixture
def run(smallest_scale: Scale, tmp_path: Path) -> AnomalyRun:
    options = FitConfig(scale=smallest_scale, device="cpu", precision="fp32", model="pspnet")
    stages = begin(Scenes(ScenesConfig(count=8, height=48, width=64)), tmp_path / "run", options)
    segmenter = stages.segmenter(M)
    return AnomalyRun(stages, segmenter.requires_grad_(False), stages.generator(segmenter).requires_grad_(False))


def test_one_strip_for_each_part_of_the_data_and_one_column_for_each_map(run: AnomalyRun, tmp_path: Path) -> None:
    dataset = Scenes(ScenesConfig(count=6, height=48, width=64, split="test"))
    detectors = {"MSP": run.rivals()["msp"], "ours": run.ours()}
    figure7(run, dataset, detectors, tmp_path / "figure.png", images=2)
    with Image.open(tmp_path / "figure.png") as picture:
        columns = 4 + len(detectors)
        assert abs(picture.width - columns * WIDTH) < 10 * columns
        assert 2 * 180 < picture.height < 2 * 180 + 60  # two strips of 48 x 64 images, and the headings
