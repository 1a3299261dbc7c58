from __future__ import annotations

import math
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from synthcp.errors import InputError, ShapeError
from synthcp.metrics.ranking import PerImageRanking, RankingScores, StreamingRanking, ranking_scores

Scores = NDArray[np.floating]
Positives = NDArray[np.bool_]


def draw(pixels: int, seed: int, share: float = 0.2) -> tuple[NDArray[np.float32], Positives]:
    rng = np.random.default_rng(seed)
    positives = rng.random(pixels) < share
    return (rng.standard_normal(pixels) + 1.5 * positives).astype(np.float32), positives


def oracle(scores: Scores, positives: Positives) -> list[float]:
    """auroc, ap_error, ap_success, fpr95, prevalence."""
    fpr, tpr, _ = roc_curve(positives, scores, drop_intermediate=False)
    return [
        float(roc_auc_score(positives, scores)),
        float(average_precision_score(positives, scores)),
        float(average_precision_score(~positives, -scores)),
        float(fpr[np.argmax(tpr >= 0.95)]),
        float(positives.mean()),
    ]


def nearest_oracle(scores: Scores, positives: Positives) -> float:
    """FPR95 by the rule of the nearest recall, one threshold at a time from the lowest up."""
    best = (math.inf, math.nan)
    for threshold in np.unique(scores):
        found = scores >= threshold
        recall = found[positives].mean()
        if recall == 1 or abs(recall - 0.95) < best[0]:  # at full recall a higher threshold is better
            best = abs(recall - 0.95), found[~positives].mean()
    return float(best[1])


def five(scores: RankingScores) -> list[float]:
    return list(astuple(scores)[:5])


def stream(scores: Scores, positives: Positives, cuts: tuple[int, ...] = ()) -> StreamingRanking:
    ranking = StreamingRanking()
    for part, truth in zip(np.split(scores, cuts), np.split(positives, cuts), strict=True):
        ranking.update(part, truth)
    return ranking


@pytest.mark.parametrize("decimals", [0, 1, 7])
@pytest.mark.parametrize("shift", [0, 200, -200])
def test_exact_and_streamed_agree_with_scikit_learn(decimals: int, shift: int) -> None:
    scores, positives = draw(20_011, seed=1)
    scores = np.round(scores, decimals) + np.float32(shift)
    expected = oracle(scores, positives)
    assert five(ranking_scores(scores, positives)) == pytest.approx(expected, abs=1e-9)
    assert five(stream(scores, positives).compute()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["normal", "exponential", "shifted up", "shifted down", "unit", "two clusters"])
def test_streamed_is_within_1e_4_when_scores_outnumber_the_bins(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthcp.metrics.histogram.MAX_BINS", 1 << 17)
    scores, positives = draw(1_000_000, seed=2)
    unit = 1 / (1 + np.exp(-scores))
    far = np.arange(len(scores)) % 3 == 0
    table = {
        "normal": scores,
        "exponential": np.exp(8 * scores),
        "shifted up": scores + np.float32(200),
        "shifted down": scores - np.float32(200),
        "unit": -unit,
        "two clusters": np.where(far, scores + np.float32(200), scores),
    }
    expected = five(ranking_scores(table[name], positives))
    assert five(stream(table[name], positives).compute()) == pytest.approx(expected, abs=1e-4)


def test_three_pixels_by_hand() -> None:
    # From the top: wrong, correct, wrong. Of two pairs one is ordered; precision 1 and 2/3; from below 1/2.
    scores = ranking_scores(np.array([0.9, 0.1, 0.5]), np.array([True, True, False]))
    assert scores == RankingScores(0.5, pytest.approx(5 / 6), 0.5, 1.0, pytest.approx(2 / 3), 3, 1, 0, 1.0)


def test_fpr95_is_read_at_the_first_threshold_that_suffices_and_not_interpolated() -> None:
    # 19 of 20 positives lie above all negatives and one below: 0.95 is reached before any false positive.
    scores = np.concatenate([np.full(19, 2.0), np.linspace(0, 1, 100), [-1.0]])
    positives = np.concatenate([np.ones(19, bool), np.zeros(100, bool), [True]])
    assert ranking_scores(scores, positives).fpr95 == 0.0
    # With 18 above, the 19th is the one below all negatives.
    scores[0] = -2.0
    assert ranking_scores(scores, positives).fpr95 == 1.0


def test_nearest_fpr95_takes_the_lowest_threshold_of_the_nearest_recall() -> None:
    # Recall is 0.95 from the 19th positive on and down through all negatives: the release says 1, others say 0.
    scores = np.concatenate([np.full(19, 2.0), np.linspace(0, 1, 100), [-1.0]])
    positives = np.concatenate([np.ones(19, bool), np.zeros(100, bool), [True]])
    for result in (ranking_scores(scores, positives), stream(scores, positives).compute()):
        assert (result.fpr95, result.fpr95_nearest) == (0.0, 1.0)


def test_nearest_fpr95_may_stop_below_a_recall_of_95_percent() -> None:
    # Two thresholds: recall 0.94 without a false positive, and 1 with all of them.
    scores = np.concatenate([np.full(94, 2.0), np.zeros(9)])
    positives = np.arange(103) < 100
    result = ranking_scores(scores, positives)
    assert (result.fpr95, result.fpr95_nearest) == (1.0, 0.0)


@pytest.mark.parametrize("positives", [1, 2, 9, 10, 20, 57])
@pytest.mark.parametrize("levels", [4, 25, 10_000])
def test_nearest_fpr95_of_few_positives_agrees_with_one_threshold_at_a_time(positives: int, levels: int) -> None:
    rng = np.random.default_rng(positives)
    truths = np.arange(300) < positives
    scores = (rng.integers(0, levels, 300) + 0.3 * levels * truths).astype(np.float32)
    expected = nearest_oracle(scores, truths)
    assert ranking_scores(scores, truths).fpr95_nearest == pytest.approx(expected)
    assert stream(scores, truths).compute().fpr95_nearest == pytest.approx(expected)


def test_the_best_f1_threshold_agrees_with_one_threshold_at_a_time() -> None:
    scores, positives = draw(400, seed=14)
    scores = np.round(scores, 1)
    f1 = {t: 2 * (positives & (scores >= t)).sum() / (positives.sum() + (scores >= t).sum()) for t in np.unique(scores)}
    threshold = stream(scores, positives).best_f1_threshold()
    assert f1[np.float32(threshold)] == max(f1.values())
    assert math.isnan(stream(scores, np.zeros(400, bool)).best_f1_threshold())


@pytest.mark.parametrize("value", [-200.3, 0.0, 7e9])
def test_constant_scores_are_at_chance(value: float) -> None:
    _, positives = draw(5_000, seed=3)
    scores = np.full(5_000, value, np.float32)
    share = float(positives.mean())
    expected = [0.5, share, 1 - share, 1.0, share]
    assert five(ranking_scores(scores, positives)) == pytest.approx(expected)
    assert five(stream(scores, positives).compute()) == pytest.approx(expected)


@pytest.mark.parametrize(("truth", "prevalence"), [(False, 0.0), (True, 1.0)])
def test_scores_are_undefined_without_positives_or_negatives(truth: bool, prevalence: float) -> None:
    scores, _ = draw(50, seed=4)
    positives = np.full(50, truth)
    for result in (ranking_scores(scores, positives), stream(scores, positives).compute()):
        assert all(map(math.isnan, five(result)[:4]))
        assert (result.prevalence, result.pixels, result.images, result.skipped) == (prevalence, 50, 1, 0)


def test_nothing_at_all_is_undefined() -> None:
    nothing = np.zeros(0, np.float32), np.zeros(0, bool)
    for result in (ranking_scores(*nothing), stream(*nothing).compute(), StreamingRanking().compute()):
        assert all(map(math.isnan, five(result)))
        assert result.pixels == 0


def test_scaling_and_shifting_change_nothing() -> None:
    scores, positives = draw(10_000, seed=5)
    scores = np.round(scores.astype(np.float64), 2)
    expected = five(ranking_scores(scores, positives))
    assert five(ranking_scores(10 * scores + 100, positives)) == pytest.approx(expected, abs=1e-12)
    assert five(stream(10 * scores + 100, positives).compute()) == pytest.approx(expected, abs=1e-12)


def test_infinities_and_both_zeros_have_their_place() -> None:
    scores = np.array([np.inf, -np.inf, 0.0, -0.0, 1e-40, -1.0, 1e300], np.float64)
    positives = np.array([True, False, True, False, False, True, False])
    ranks = np.array([5, 0, 2, 2, 3, 1, 4])
    assert five(ranking_scores(scores, positives)) == five(ranking_scores(ranks.astype(float), positives))
    # At float32 precision 1e300 is infinite, too.
    ranks[0] = ranks[6]
    assert five(stream(scores, positives).compute()) == five(ranking_scores(ranks.astype(float), positives))


@pytest.mark.parametrize("limit", [1 << 20, 1 << 12])
def test_parts_in_any_order_give_the_same_as_the_whole(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthcp.metrics.histogram.MAX_BINS", limit)
    monkeypatch.setattr("synthcp.metrics.histogram._BUFFER", 5_000)
    scores, positives = draw(60_000, seed=6)
    scores[:20_000] += 200  # so that the parts, each alone, would be binned differently
    whole = replace(stream(scores, positives).compute(), images=4)
    cuts = (1, 20_000, 33_333)
    assert stream(scores, positives, cuts).compute() == whole
    a, b, c, d = (
        stream(part, truth) for part, truth in zip(np.split(scores, cuts), np.split(positives, cuts), strict=True)
    )
    assert ((d + b) + (c + a)).compute() == whole
    assert (a.compute().pixels, d.compute().pixels) == (1, 26_667)
    a.merge(b + c + d)
    assert a.compute() == whole


def test_sums_leave_their_terms_alone() -> None:
    first, second = stream(*draw(1_000, seed=7)), stream(*draw(500, seed=8))
    before = first.compute(), second.compute()
    assert (first + second).compute().pixels == 1_500
    assert (first.compute(), second.compute()) == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_shape_and_precision_are_ranked(dtype: torch.dtype) -> None:
    scores, positives = draw(24, seed=9)
    maps = torch.from_numpy(scores).to(dtype).reshape(2, 3, 4).requires_grad_()
    expected = oracle(maps.detach().double().numpy().ravel(), positives)
    masks = torch.from_numpy(positives).reshape(2, 3, 4)
    assert five(ranking_scores(maps, masks)) == pytest.approx(expected)
    ranking = StreamingRanking()
    ranking.update(maps, masks)
    assert five(ranking.compute()) == pytest.approx(expected)


@pytest.mark.parametrize("ranking", [StreamingRanking, PerImageRanking])
def test_unusable_arguments_are_refused_and_leave_no_trace(ranking: type[StreamingRanking | PerImageRanking]) -> None:
    scores, positives = draw(12, seed=10)
    judge = ranking()
    judge.update(scores, positives)
    before = judge.compute()
    with pytest.raises(InputError, match="2 scores are NaN"):
        judge.update(np.where(np.arange(12) < 2, np.nan, scores), positives)
    with pytest.raises(InputError, match="not bool"):
        judge.update(scores, positives.astype(np.int64))
    with pytest.raises(InputError, match="not floats"):
        judge.update(np.arange(12), positives)
    with pytest.raises(ShapeError, match=r"\(12,\).*\(3, 4\)"):
        judge.update(scores, positives.reshape(3, 4))
    assert judge.compute() == before


def test_per_image_scores_are_means_over_the_images_that_can_be_scored() -> None:
    images = [draw(pixels, seed, share) for pixels, seed, share in [(300, 11, 0.1), (900, 12, 0.4), (500, 13, 0.2)]]
    ranking = PerImageRanking()
    for scores, positives in images:
        ranking.update(scores, positives)
        ranking.update(scores, np.zeros_like(positives))
    ranking.update(images[0][0], np.ones(300, bool))
    result = ranking.compute()
    assert five(result) == pytest.approx(np.mean([oracle(*image) for image in images], axis=0), abs=1e-9)
    assert (result.pixels, result.images, result.skipped) == (1_700, 3, 4)
    assert [image.pixels for image in ranking.scores] == [300, 900, 500]


def test_per_image_parts_in_any_order_give_the_same_as_the_whole() -> None:
    images = [draw(200 + seed, seed) for seed in range(7)]
    images.append((images[0][0], np.zeros(200, bool)))
    whole = PerImageRanking()
    first, second = PerImageRanking(), PerImageRanking()
    for index, image in enumerate(images):
        whole.update(*image)
        (first if index % 3 else second).update(*image)
    assert (first + second).compute() == (second + first).compute() == whole.compute()
    second.merge(first)
    assert second.compute() == whole.compute()
    assert (whole.compute().images, whole.compute().skipped) == (7, 1)


def test_per_image_without_a_usable_image_is_undefined() -> None:
    ranking = PerImageRanking()
    ranking.update(np.zeros(4), np.zeros(4, bool))
    assert all(map(math.isnan, five(ranking.compute())))
    assert (ranking.compute().images, ranking.compute().skipped) == (0, 1)
