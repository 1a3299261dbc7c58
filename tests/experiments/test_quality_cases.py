"""The statistics of Table 2 against plain loops."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy import stats

from synthcp.errors import InputError
from synthcp.experiments import quality_cases
from synthcp.experiments.quality_cases import SCORES, QualityCases, SeedScores
from synthcp.metrics.bootstrap import bootstrap


def cases(seed: int, count: int = 12) -> QualityCases:
    random = np.random.default_rng(seed)
    true = random.uniform(0, 1, (count, 2))
    rows = {name: np.clip(true + noise * random.normal(size=true.shape), 0, 1) for name, noise in NOISES.items()}
    empty = np.zeros((count, 2), dtype=bool)
    empty[3, 1] = True
    ids = [f"case{number}" for number in range(count)]
    predicted = {name: values.tolist() for name, values in rows.items()}
    return QualityCases({"data": "x"}, ids, ["head", "tail"], true.tolist(), empty.tolist(), predicted)


NOISES = {"good": 0.05, "bad": 0.4}
SEEDS = [cases(0), cases(1)]


def test_scores_are_means_over_the_structures() -> None:
    true, predicted = np.array(SEEDS[1].true), np.array(SEEDS[1].predicted["bad"])
    scores = {name: SeedScores(SEEDS).by_seed("bad", name)[1] for name in SCORES}
    residual = predicted - true
    assert scores["MAE"] == pytest.approx(np.abs(residual).mean())
    assert scores["STD"] == pytest.approx(np.mean([np.abs(residual[:, k]).std() for k in range(2)]))
    assert scores["STD, signed"] == pytest.approx(np.mean([residual[:, k].std() for k in range(2)]))
    assert scores["P.C."] == pytest.approx(np.mean([np.corrcoef(true[:, k], predicted[:, k])[0, 1] for k in range(2)]))
    spearman = [stats.spearmanr(true[:, k], predicted[:, k]).statistic for k in range(2)]
    assert scores["S.C."] == pytest.approx(np.mean(spearman))


def test_a_structure_that_is_not_predicted_can_be_left_out() -> None:
    kept = np.delete(np.arange(12), 3)
    true, predicted = np.array(SEEDS[0].true), np.array(SEEDS[0].predicted["good"])
    head = np.abs(predicted - true)[:, 0].mean()
    tail = np.abs(predicted - true)[kept, 1].mean()
    assert SeedScores(SEEDS, held_only=True).by_seed("good", "MAE")[0] == pytest.approx((head + tail) / 2)


def test_the_difference_of_two_rows_is_that_of_their_means_inside_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_cases, "bootstrap", partial(bootstrap, samples=100))
    scores = SeedScores(SEEDS)
    found = scores.difference("good", "bad", "MAE")
    assert found.value == pytest.approx(np.mean(scores.by_seed("good", "MAE")) - np.mean(scores.by_seed("bad", "MAE")))
    assert found.low < found.value < found.high < 0
    same = scores.difference("bad", "bad", "P.C.")
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_a_mean_of_two_rows_is_one_more_row() -> None:
    both = SEEDS[0].with_mean("both", "good", "bad")
    assert both.predicted["both"][5][1] == pytest.approx(
        (SEEDS[0].predicted["good"][5][1] + SEEDS[0].predicted["bad"][5][1]) / 2
    )
    assert "both" not in SEEDS[0].predicted


def test_cases_go_to_disk_and_back_and_broken_ones_are_refused() -> None:
    assert QualityCases.from_json(SEEDS[0].to_json()) == SEEDS[0]
    for text in ("{", '{"ids": []}'):
        with pytest.raises(InputError, match="unreadable"):
            QualityCases.from_json(text)
