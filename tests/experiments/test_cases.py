"""The statistics of all tables against scikit-learn, scipy and plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from synthcp.errors import InputError
from synthcp.evaluation.judgement import Judged, Said, Truth
from synthcp.evaluation.results import Row
from synthcp.experiments.cases import (
    BINS,
    FAILURE_SCORES,
    STRUCTURE_SCORES,
    Cases,
    Watch,
    binned,
    difference,
    structure_score,
)
from synthcp.metrics.regression import class_quality_scores
from synthcp.records import Detection, Prediction, Sample
from synthcp.system.files import save_tensors

IMAGES = 6
EVERYONE = np.arange(IMAGES)


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
def cases() -> Cases:
    """Of the structures 1 and 3, of which 3 is never predicted."""
    watch = Watch((1, 3), {"good", "poor", "pixels"})
    for rows, truth in images():
        sample, prediction = Sample("", torch.zeros(3, 20, 30)), Prediction(torch.zeros(1, 4, 20, 30))
        said = {Row(name): detection for name, detection in rows.items()}
        watch(Judged(0, sample, sample, Said(torch.ones(20, 30).long(), said), truth, prediction))
    return watch.cases()


def test_bins_count_every_pixel_where_its_score_lies() -> None:
    counts = binned(torch.tensor([0.0, 0.5, 0.5, 1.0, 0.6]), torch.tensor([False, True, False, True, True]))
    assert counts.shape == (2, BINS) and counts.sum(dim=1).tolist() == [2, 3]
    assert counts[:, BINS // 2].tolist() == [1, 1] and counts[0, 0] == 1 and counts[1, -1] == 1


def test_scores_are_those_of_the_drawn_images(cases: Cases) -> None:
    chosen = np.array([4, 1, 4, 0, 5, 4])
    drawn = [images()[index] for index in chosen]
    wrong = np.concatenate([truth.error[truth.known].numpy() for _, truth in drawn])
    for row in ("good", "poor"):
        found = {name: score(cases, row, chosen) for name, score in FAILURE_SCORES.items()}
        said = np.concatenate([rows[row].error_map[0][truth.known].numpy() for rows, truth in drawn])
        assert found["AP-Error"] == pytest.approx(average_precision_score(wrong, said), abs=5e-3)
        assert found["AUROC"] == pytest.approx(roc_auc_score(wrong, said), abs=1e-3)
        true = np.stack([truth.quality[[1, 3]].numpy() for _, truth in drawn])
        guess = np.stack([rows[row].class_quality[0, [1, 3]].numpy() for rows, _ in drawn])
        expected = class_quality_scores(true, guess)
        assert (found["MAE"], found["P.C."]) == pytest.approx((expected.mae, expected.pearson), rel=1e-5)


def test_what_a_row_did_not_say_or_was_not_noted_has_no_score(cases: Cases) -> None:
    assert cases.counts.keys() == {"good", "poor", "pixels"} and cases.quality.keys() == {"good", "poor"}
    assert np.isnan(FAILURE_SCORES["MAE"](cases, "pixels", EVERYONE))
    assert np.isnan(FAILURE_SCORES["FPR95"](cases, "other", EVERYONE))


def test_the_difference_of_rows_has_an_interval_around_it(cases: Cases) -> None:
    score = FAILURE_SCORES["AP-Error"]
    found = difference([cases, cases], "good", "poor", score, samples=50)
    alone = score(cases, "good", EVERYONE) - score(cases, "poor", EVERYONE)
    assert found.value == pytest.approx(alone) and found.low < found.value < found.high and found.low > 0
    assert difference([cases], "poor", "good", score, samples=50).value == pytest.approx(-alone)
    same = difference([cases], "poor", "poor", score, samples=50)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def volumes() -> Cases:
    random = np.random.default_rng(1)
    true = random.uniform(0, 1, (12, 2))
    predicted = np.clip(true + 0.4 * random.normal(size=true.shape), 0, 1)
    empty = np.zeros((12, 2), dtype=bool)
    empty[3, 1] = True
    return Cases(true, empty, {}, {"row": predicted, "truth": true})


def test_scores_of_structures_are_means_over_them() -> None:
    cases, everyone = volumes(), np.arange(12)
    true, predicted = cases.true, cases.quality["row"]
    found = {name: structure_score(score)(cases, "row", everyone) for name, score in STRUCTURE_SCORES.items()}
    residual = predicted - true
    assert found["MAE"] == pytest.approx(np.abs(residual).mean())
    assert found["STD"] == pytest.approx(np.mean([np.abs(residual[:, k]).std() for k in range(2)]))
    assert found["STD, signed"] == pytest.approx(np.mean([residual[:, k].std() for k in range(2)]))
    assert found["P.C."] == pytest.approx(np.mean([np.corrcoef(true[:, k], predicted[:, k])[0, 1] for k in range(2)]))
    spearman = [stats.spearmanr(true[:, k], predicted[:, k]).statistic for k in range(2)]
    assert found["S.C."] == pytest.approx(np.mean(spearman))


def test_a_structure_that_is_not_predicted_can_be_left_out() -> None:
    cases, kept = volumes(), np.delete(np.arange(12), 3)
    residual = np.abs(cases.quality["row"] - cases.true)
    found = structure_score(STRUCTURE_SCORES["MAE"], held_only=True)(cases, "row", np.arange(12))
    assert found == pytest.approx((residual[:, 0].mean() + residual[kept, 1].mean()) / 2)


def test_a_mean_of_two_rows_is_one_more_row(cases: Cases) -> None:
    both = cases.with_means({"both": ("good", "poor"), "none": ("good", "pixels")})
    assert both.quality.keys() - cases.quality.keys() == {"both"}
    assert np.array_equal(both.quality["both"], (cases.quality["good"] + cases.quality["poor"]) / 2)


def test_cases_go_to_disk_and_back_and_broken_ones_are_refused(cases: Cases, tmp_path: Path, fails) -> None:
    assert cases.empty.tolist() == [[False, True]] * IMAGES
    for written in (cases, volumes(), Watch((0,), ()).cases()):
        written.save(tmp_path / "cases.safetensors")
        read = Cases.load(tmp_path / "cases.safetensors")
        assert np.array_equal(read.true, written.true, equal_nan=True) and np.array_equal(read.empty, written.empty)
        for rows, others in ((read.counts, written.counts), (read.quality, written.quality)):
            assert list(rows) == list(others) and all(np.array_equal(rows[row], others[row]) for row in rows)
    save_tensors(tmp_path / "broken.safetensors", {"true": torch.zeros(1)})
    with fails("holds no cases", "run again", error=InputError):
        Cases.load(tmp_path / "broken.safetensors")
