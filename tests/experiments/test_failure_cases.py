from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from synthcp.evaluation import Judged, Row, Truth
from synthcp.experiments.failure_cases import BINS, FailureCases, FailureScores, binned, difference
from synthcp.metrics.regression import class_quality_scores
from synthcp.records import Detection, Prediction, Sample

IMAGES = 6


def images() -> list[tuple[dict[str, Detection], Truth]]:
    """Images of 20 x 30 pixels on which the row "good" tells wrong pixels better than "poor"."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for number in range(IMAGES):
        wrong = torch.rand(20, 30, generator=generator) < 0.1 + 0.05 * number
        known = torch.rand(20, 30, generator=generator) < 0.9
        noise = torch.randn(2, 20, 30, generator=generator)
        quality = torch.rand(4, generator=generator).double()
        quality[number % 4] = torch.nan
        good, poor = ((2 * wrong + part - 2).sigmoid()[None] for part in (noise[0], 2 * noise[1]))
        guess = torch.rand(1, 4, generator=generator)
        rows = {
            "good": Detection(error_map=good, class_quality=0.2 * guess + 0.8 * quality.nan_to_num().float()),
            "poor": Detection(error_map=poor, class_quality=guess),
            "pixels": Detection(error_map=good),
            "other": Detection(error_map=poor),
        }
        cases.append((rows, Truth(wrong, known, quality)))
    return cases


@pytest.fixture
def scores(tmp_path: Path) -> FailureScores:
    cases = FailureCases(("good", "poor", "pixels"), (1, 3))
    for rows, truth in images():
        detections = {Row(name): detection for name, detection in rows.items()}
        sample = Sample("", truth.error[None].float())
        cases(Judged(0, sample, sample, Prediction(sample.image[None]), truth.error.long(), detections, truth))
    cases.save(tmp_path / "cases.safetensors")
    return FailureScores(tmp_path / "cases.safetensors")


def test_bins_count_every_pixel_where_its_score_lies() -> None:
    counts = binned(torch.tensor([0.0, 0.5, 0.5, 1.0, 0.6]), torch.tensor([False, True, False, True, True]))
    assert counts.shape == (2, BINS) and counts.sum(dim=1).tolist() == [2, 3]
    assert counts[:, BINS // 2].tolist() == [1, 1] and counts[0, 0] == 1 and counts[1, -1] == 1


def test_scores_are_those_of_the_drawn_images(scores: FailureScores) -> None:
    chosen = np.array([4, 1, 4, 0, 5, 4])
    drawn = [images()[index] for index in chosen]
    wrong = np.concatenate([truth.error[truth.known].numpy() for _, truth in drawn])
    for row in ("good", "poor"):
        said = np.concatenate([rows[row].error_map[0][truth.known].numpy() for rows, truth in drawn])
        assert scores.score(row, "AP-Error", chosen) == pytest.approx(average_precision_score(wrong, said), abs=5e-3)
        assert scores.score(row, "AUROC", chosen) == pytest.approx(roc_auc_score(wrong, said), abs=1e-3)
        true = np.stack([truth.quality[[1, 3]].numpy() for _, truth in drawn]).astype(np.float32)
        guess = np.stack([rows[row].class_quality[0, [1, 3]].numpy() for rows, _ in drawn])
        expected = class_quality_scores(true, guess)
        assert scores.score(row, "MAE", chosen) == pytest.approx(expected.mae, rel=1e-5)
        assert scores.score(row, "P.C.", chosen) == pytest.approx(expected.pearson, rel=1e-5)


def test_a_row_has_what_it_said(scores: FailureScores) -> None:
    assert scores.images == IMAGES
    assert scores.has("pixels", "FPR95") and not scores.has("pixels", "MAE") and not scores.has("other", "AUROC")


def test_the_difference_of_rows_has_an_interval_around_it(scores: FailureScores) -> None:
    everyone = np.arange(IMAGES)
    found = difference([scores, scores], "good", "poor", "AP-Error", samples=50)
    alone = scores.score("good", "AP-Error", everyone) - scores.score("poor", "AP-Error", everyone)
    assert found.value == pytest.approx(alone) and found.low < found.value < found.high and found.low > 0
    back = difference([scores], "poor", "good", "AP-Error", samples=50)
    assert back.value == pytest.approx(-alone)
