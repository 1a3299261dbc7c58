from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from synthcp.data.derived import Derived
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.promise import Promise
from synthcp.records import Sample
from synthcp.report.pictures import image_picture
from synthcp.verbs.calibrate import calibrate
from synthcp.verbs.score import score
from synthcp.verbs.watch_drift import watch_drift

USUAL = Scenes(ScenesConfig(count=30, height=32, width=48, split="val"))
NEW = Scenes(ScenesConfig(count=24, height=32, width=48, split="test"))


@pytest.fixture(scope="module")
def run(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(shutil.copytree(run_folder, tmp_path_factory.mktemp("drift") / "run"))
    calibrate(run, USUAL, promise=Promise(alpha=0.2, delta=0.5, area=0.1))
    return run


def scored(run: Path, folder: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> Path:
    (folder / "images").mkdir(parents=True)
    for sample in NEW:
        image_picture(change(sample.image)).save(folder / "images" / f"{sample.id}.png")
    score(run, folder / "images", folder / "out", maps="none", report=False)
    return folder / "out"


def test_noise_in_place_of_streets_is_a_drift_and_streets_are_none(
    run: Path, tmp_path: Path, synthcp: Callable[..., Any]
) -> None:
    calibration = Monitor.load(run, "cpu").settings.calibration
    assert calibration is not None and {len(values) for values in calibration.usual.values()} == {30}
    same = scored(run, tmp_path / "same", lambda image: image)
    noise = scored(run, tmp_path / "noise", lambda image: torch.rand(image.shape))
    assert all(drift.since is None for drift in watch_drift(run, [same]))
    both = watch_drift(run, [same, noise])
    assert any(drift.since is not None and drift.since > 24 and drift.images == 48 for drift in both)
    ended = synthcp("watch-drift", same, noise, "--monitor", run, "--fail-on-alarm")
    assert ended.code == 4 and ended.stdout.endswith("the promise is in doubt: calibrate on images like these\n")
    assert synthcp("watch-drift", same, "--monitor", run, "--fail-on-alarm").code == 0
    told = synthcp("score", tmp_path / "noise" / "images", "--monitor", run, "--out", tmp_path / "again", "--quiet")
    assert any("the promise is in doubt" in line for line in told.stderr), told.stderr


class Unlabelled(Derived):
    """The same images, of whose pixels the left half has no class."""

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        assert sample.label_map is not None
        label_map = sample.label_map.clone()
        label_map[:, :24] = self.classes.ignore_index
        return replace(sample, label_map=label_map)


def test_what_is_usual_is_measured_as_score_will_measure_it(run: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(run, tmp_path / "run"))
    calibration = calibrate(own, Unlabelled(USUAL), promise=Promise(alpha=0.2, delta=0.5, area=0.1))
    (tmp_path / "images").mkdir()
    for sample in USUAL:
        image_picture(sample.image).save(tmp_path / "images" / f"{sample.id}.png")
    rows = score(own, tmp_path / "images", tmp_path / "out", maps="none", report=False)
    for name, usual in calibration.usual.items():
        assert sorted(usual) == pytest.approx(sorted(getattr(row, name) for row in rows), abs=0.01), name


def test_without_a_calibration_or_scores_it_says_so(run_folder: Path, run: Path, tmp_path: Path, fails: Any) -> None:
    with fails("is not calibrated, so nothing says what is usual; run synthcp calibrate"):
        watch_drift(run_folder, [tmp_path])
    with fails("results.csv"):
        watch_drift(run, [tmp_path])
