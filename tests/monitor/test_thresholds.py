from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from synthcp.comparison.evidence import Evidence
from synthcp.data.base import Dataset
from synthcp.monitor.thresholds import Thresholds, fit_thresholds
from synthcp.records import Classes, Detection, Sample
from synthcp.system.runtime import Runtime
from synthcp.training.comparator import ImperfectExamples
from synthcp.training.imperfect_predictions import ImperfectPrediction, ImperfectPredictions

COUNT, SIZE = 11, (20, 30)


class Gray(Dataset):
    """Noisy images, brighter from one to the next."""

    def __init__(self) -> None:
        self.classes = Classes(("a", "b", "c"), ((0, 0, 0),) * 3)
        self.ids = [f"{index}" for index in range(COUNT)]

    def __getitem__(self, index: int) -> Sample:
        noise = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(index))
        return Sample(self.ids[index], noise * index / COUNT, torch.zeros(SIZE, dtype=torch.int64))


class Reading:
    """An error and anomaly map read off the image, and the quality off its first pixel."""

    def judge(self, evidence: Evidence) -> Detection:
        light = evidence.image[:, 0]
        quality = light[:, :1, 0] + torch.tensor([0.0, 0.1, 0.2])
        return Detection(error_map=light, anomaly_map=light**2, class_quality=quality)


@pytest.fixture
def examples(tmp_path: Path) -> ImperfectExamples:
    """Class 0 is predicted in every image, class 1 in the odd ones, class 2 in none."""
    imperfect = ImperfectPredictions(tmp_path)
    for index in range(COUNT):
        logits = torch.zeros(3, *SIZE)
        logits[0, :10] = 1
        logits[index % 2, 10:] = 1
        nothing = {"x": torch.zeros(1, *SIZE)}
        imperfect.write("last", index, ImperfectPrediction(logits, nothing, nothing))
    return ImperfectExamples(Gray(), imperfect, ("last",), range(COUNT), "x")


def images() -> list[Tensor]:
    return [sample.image[0] for sample in Gray()]


def test_thresholds_are_quantiles_of_what_is_usual(examples: ImperfectExamples) -> None:
    fitted = fit_thresholds(Reading(), examples.evidence(), Runtime(torch.device("cpu")), usual=0.8)  # type: ignore[arg-type]
    light = np.stack([image.numpy() for image in images()])
    assert fitted.error_share == pytest.approx(np.sort(light.mean((1, 2)))[8])
    assert fitted.anomaly == pytest.approx(np.quantile(light**2, 0.99), rel=0.1)  # of every seventh pixel
    shares = (light**2 > fitted.anomaly).mean((1, 2))
    assert fitted.anomaly_share == pytest.approx(np.sort(shares)[8])
    first = light[:, 0, 0]
    floors = (np.quantile(first, 0.2), np.quantile(first[1::2] + 0.1, 0.2), 0.0)
    assert fitted.class_quality == pytest.approx(floors)


@pytest.mark.parametrize("usual", [0.5, 0.8, 0.9])
def test_the_share_of_images_with_an_alarm_is_kept(examples: ImperfectExamples, usual: float) -> None:
    fitted = fit_thresholds(Reading(), examples.evidence(), Runtime(torch.device("cpu")), usual)  # type: ignore[arg-type]
    alarms = sum(float(image.mean()) > fitted.error_share for image in images())
    assert alarms <= math.ceil((1 - usual) * COUNT)
    unknown = sum(float((image**2 > fitted.anomaly).float().mean()) > fitted.anomaly_share for image in images())
    assert unknown <= math.ceil((1 - usual) * COUNT)


def test_the_defaults_never_alarm() -> None:
    usual = Thresholds()
    assert usual.error_share == 1.0 and usual.anomaly == 2.0 and usual.class_quality == ()
