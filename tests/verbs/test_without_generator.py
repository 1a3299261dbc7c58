"""A monitor that draws nothing does all that one with a generator does, but what needs a drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from synthcp.config.scales import Scale
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.specs import open_dataset
from synthcp.errors import InputError
from synthcp.fitting.config import FitConfig
from synthcp.fitting.run import fit
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.promise import Promise
from synthcp.rivals.catalogue import load_detectors
from synthcp.verbs.audit.run import audit
from synthcp.verbs.calibrate import calibrate
from synthcp.verbs.evaluate import evaluate
from synthcp.verbs.score import score

SPEC = "scenes:?count=12&size=48x64"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, smallest_scale: Scale) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "blind"
    config = FitConfig(scale=smallest_scale, device="cpu", precision="fp32", generator="none")
    fit(open_dataset(SPEC), folder, config, facts={"data": SPEC})
    return folder


@pytest.fixture(scope="module")
def blind(folder: Path) -> Monitor:
    return Monitor.load(folder, "cpu")


@pytest.fixture(scope="module")
def streets() -> Scenes:
    return Scenes(ScenesConfig(count=12, height=48, width=64, split="val"))


def test_no_generator_is_fitted_nor_its_controls(folder: Path, blind: Monitor) -> None:
    assert blind.generator is None and blind.settings.variant.generator == "none"
    assert not list(folder.rglob("*generator*")) and not (folder / "controls").exists()


def test_it_judges_failures_and_anomalies(blind: Monitor, streets: Scenes, tmp_path: Path) -> None:
    first, second = (blind.assess(streets[index].image) for index in (0, 1))
    assert first.synthesis is None and first.anomaly_map is not None
    assert first.error_map.shape == first.anomaly_map.shape == (48, 64)
    assert not first.anomaly_map.equal(second.anomaly_map) and first.anomaly_map.std() > 0
    blind.save(tmp_path / "copy")
    again = Monitor.load(tmp_path / "copy", "cpu").assess(streets[0].image)
    assert again.error_map.equal(first.error_map) and again.anomaly_map is not None
    assert again.anomaly_map.equal(first.anomaly_map)


def test_every_verb_but_an_audit_takes_it(
    folder: Path, streets: Scenes, images: Path, tmp_path: Path, fails: Any
) -> None:
    rows = score(folder, images, tmp_path / "scored")
    assert {row.status for row in rows} == {"ok"}
    maps = {path.name.rpartition("_")[2] for path in (tmp_path / "scored" / "maps").iterdir()}
    assert {"error.png", "anomaly.png"} <= maps and "synthesis.png" not in maps
    results = evaluate(folder, streets, tmp_path / "evaluated")
    names = {detector.name for detector in results.detectors}
    assert {"msp", "synthcp"} <= names and not {"direct", "untrained"} & names
    assert "synthesis" not in (tmp_path / "scored" / "report.html").read_text().lower()
    assert calibrate(folder, streets, promise=Promise(alpha=0.2, delta=0.5, area=0.1)).images == len(streets)
    with fails("the monitor draws nothing, and an audit compares drawings; fit one with --generator spade"):
        audit(folder, streets, tmp_path / "audited")


def test_a_detector_that_compares_with_a_drawing_is_refused(folder: Path, blind: Monitor, fails: Any) -> None:
    with fails("this detector compares with a drawing, the monitor has none; fit one with a generator"):
        load_detectors(folder, blind, ["untrained"])
    detectors = load_detectors(folder, blind, ["msp", "synthcp"])
    sample = Scenes(ScenesConfig(count=1, height=32, width=48))[0]
    prediction = blind.predict(sample.image[None])
    judged = detectors["synthcp"](sample.image[None], prediction)
    with torch.no_grad():
        alone = blind.detect(sample.image[None], prediction=prediction)[1]
    assert judged.error_map is not None and alone.error_map is not None
    torch.testing.assert_close(judged.error_map, alone.error_map)


def test_a_rival_is_fitted_to_its_training_images(folder: Path, blind: Monitor) -> None:
    rival = load_detectors(folder, blind, ["knn"])["knn"]
    sample = Scenes(ScenesConfig(count=1, height=32, width=48))[0]
    judged = rival(sample.image[None], blind.predict(sample.image[None])).anomaly_map
    assert judged is not None and judged.std() > 0


def test_the_papers_own_score_needs_a_drawing() -> None:
    with pytest.raises(InputError, match="draws nothing, but eq. 9 compares with a drawing; name a generator"):
        FitConfig("paper", generator="none").chosen_variant()
