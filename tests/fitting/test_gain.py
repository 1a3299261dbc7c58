from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from synthcp.comparison.evidence import Evidence
from synthcp.data.base import Dataset
from synthcp.fitting.gain import FEWEST, PIXELS, gain_of
from synthcp.metrics.ranking import ranking_scores
from synthcp.nn.labels import one_hot
from synthcp.system.runtime import Runtime
from synthcp.training.comparator import DIRECT, ImperfectExamples
from synthcp.training.imperfect_predictions import ImperfectPrediction, ImperfectPredictions

COUNT = 12


class Sees(nn.Module):
    """Ranks by the first channel of the synthesis, and by noise without one."""

    def forward(self, evidence: Evidence) -> tuple[Tensor, None]:
        if evidence.synthesis is not None:
            return evidence.synthesis[:, 0], None
        return torch.rand(
            len(evidence.image), *evidence.image.shape[2:], generator=torch.Generator().manual_seed(0)
        ), None


@pytest.fixture
def examples(toy: Callable[..., Dataset], tmp_path: Path) -> ImperfectExamples:
    """A fifth of the pixels wrong; the drawing "good" marks them, "noise" does not."""
    dataset, imperfect = toy(COUNT), ImperfectPredictions(tmp_path)
    for index, sample in enumerate(dataset):
        assert sample.label_map is not None
        generator = torch.Generator().manual_seed(index)
        wrong = torch.rand(sample.label_map.shape, generator=generator) < 0.2
        logits = one_hot(((sample.label_map + wrong) % 3)[None], 3)[0]
        noise = torch.rand(3, *wrong.shape, generator=generator)
        nothing = torch.zeros(1, *wrong.shape)
        drawn = {"good": 0.5 * wrong + 0.5 * noise, "noise": noise}
        imperfect.write("last", index, ImperfectPrediction(logits, drawn, {"good": nothing, "noise": nothing}))
    return ImperfectExamples(dataset, imperfect, ("last",), range(COUNT), "good")


def test_a_drawing_that_marks_the_errors_is_worth_it(examples: ImperfectExamples, cpu: Runtime) -> None:
    worth = gain_of((Sees(), examples), (Sees(), replace(examples, generator=DIRECT)), cpu, seed=0)
    assert worth is not None and worth.is_sure and worth.images == COUNT
    assert worth.first > 0.6 and worth.second == pytest.approx(0.2, abs=0.06)
    assert worth.difference.value == pytest.approx(worth.first - worth.second)
    assert worth.difference.low < worth.difference.value < worth.difference.high
    told = f"AP-Error {100 * worth.first:.1f} with, {100 * worth.second:.1f} without, on 12 images"
    assert worth.in_words("with", "without").startswith(told)


def test_a_drawing_of_noise_is_not(examples: ImperfectExamples, cpu: Runtime) -> None:
    noise = replace(examples, generator="noise")
    worth = gain_of((Sees(), noise), (Sees(), replace(examples, generator=DIRECT)), cpu, seed=0)
    assert worth is not None and not worth.is_sure and worth.difference.low < 0 < worth.difference.high


def test_it_is_the_average_precision_of_known_pixels(examples: ImperfectExamples, cpu: Runtime) -> None:
    worth = gain_of((Sees(), examples), (Sees(), replace(examples, generator=DIRECT)), cpu, seed=0)
    scores, wrong = [], []
    for index in range(COUNT):
        evidence, label_map = examples.read("last", index)
        assert evidence.synthesis is not None
        known = label_map != 255
        scores.append(evidence.synthesis[0][known])
        wrong.append((evidence.logits.argmax(dim=0) != label_map)[known])
    whole = ranking_scores(torch.cat(scores), torch.cat(wrong)).ap_error
    assert worth is not None and PIXELS < len(scores[0])
    assert worth.first == pytest.approx(whole, abs=0.03)


def test_without_an_error_nothing_is_said(examples: ImperfectExamples, cpu: Runtime) -> None:
    for index, sample in enumerate(examples.dataset):
        kept = examples.predictions.read("last", index)
        assert sample.label_map is not None
        right = one_hot(sample.label_map[None], 3)[0]
        examples.predictions.write("last", index, replace(kept, logits=right))
    direct = replace(examples, generator=DIRECT)
    assert gain_of((Sees(), examples), (Sees(), direct), cpu, seed=0) is None


def test_of_few_images_nothing_is_said(examples: ImperfectExamples, cpu: Runtime) -> None:
    few = replace(examples, indices=range(FEWEST - 1))
    direct = replace(few, generator=DIRECT)
    assert gain_of((Sees(), few), (Sees(), direct), cpu, seed=0) is None
