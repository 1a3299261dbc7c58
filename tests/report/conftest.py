"""A small output folder with ground truth, whose numbers are all different."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from synthcp.records import AnomalousRegion, Assessment, Classes, Decision
from synthcp.report.outputs import ResultsWriter, RunSettings
from synthcp.report.rows import ResultRow, row_of

PROMISE = {"to review": "images of <low> quality"}

CLASSES = Classes(("road", "sky", "<i>car"), ((128, 64, 128), (70, 130, 180), (0, 0, 142)), ignore_index=-1)
REGIONS = (
    AnomalousRegion(2, 0.25, 1.75, 1.875, ((0, 1), (1, 3)), "<i>car"),
    AnomalousRegion(3, 0.375, 1.625, 1.6875, ((0, 2), (2, 4)), "sky"),
)


@pytest.fixture
def regions() -> tuple[AnomalousRegion, ...]:
    return REGIONS


@pytest.fixture
def settings() -> RunSettings:
    return RunSettings(
        CLASSES, "Night & day", seed=7, versions={"synthcp": "0.1.0"}, thresholds={"error": 0.3, "anomaly": 1.5}
    )


@pytest.fixture
def label_map() -> torch.Tensor:
    return torch.tensor([[0, 0, 1, 1], [2, 0, 1, -1]])


def assess(level: float, alarms: tuple[str, ...] = (), regions: tuple[AnomalousRegion, ...] = ()) -> Assessment:
    """An assessment (2, 4) whose mean error is close to the level."""
    error_map = (level + torch.linspace(-0.05, 0.05, 8).reshape(2, 4)).clamp(0, 1)
    return Assessment(
        label_map=torch.tensor([[0, 0, 1, 1], [0, 0, 1, 0]]),
        error_map=error_map,
        anomaly_map=torch.linspace(0, 2, 8).reshape(2, 4),
        synthesis=torch.rand(3, 2, 4),
        class_quality={"road": 0.8, "sky": 0.6, "<i>car": 0.1},
        judged=("road", "sky"),
        alarms=alarms,
        regions=regions,
    )


def decided(assessment: Assessment, decision: Decision) -> Assessment:
    """As a calibrated monitor would give it."""
    intervals = {name: (value / 2, (1 + value) / 2) for name, value in assessment.class_quality.items()}
    return replace(assessment, intervals=intervals, decision=decision, reasons=(f"it is a <{decision}>",))


@pytest.fixture
def write_folder(tmp_path: Path, settings: RunSettings, label_map: torch.Tensor) -> Callable[..., Path]:
    def write(ids: dict[str, float], truth: bool = True, calibrated: bool = False, regions: bool = False) -> Path:
        thresholds = settings.thresholds | {"floor": 0.6, "accept": 0.4}
        whole = replace(settings, promise=PROMISE, thresholds=thresholds) if calibrated else settings
        with ResultsWriter(tmp_path / "out", whole, ground_truth=truth) as writer:
            for image_id, level in ids.items():
                assessment = assess(level, ("<b>look", "now") if level > 0.5 else (), REGIONS if regions else ())
                if calibrated:
                    assessment = decided(assessment, "review" if level > 0.5 else "accept")
                known = label_map if truth else None
                writer.write(writer.draw(image_id, torch.rand(3, 2, 4), assessment, known))
                writer.add_row(row_of(image_id, f"{image_id}.png", assessment, CLASSES, 1.5, label_map=known))
            writer.add_row(ResultRow("broken", "broken.png", "error", "not a <picture>"))
        return tmp_path / "out"

    return write
