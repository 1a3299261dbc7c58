"""Fixed draws, scored once with the metric functions of the published release: our numbers are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from synthcp.metrics.ranking import PerImageRanking, RankingScores, StreamingRanking, ranking_scores

Draw = tuple[NDArray[np.float32], NDArray[np.bool_]]


@dataclass(frozen=True)
class Published:
    """What the release says of a draw; ap_success is known where its other evaluation was run."""

    pixels: int
    ties: bool
    auroc: float
    ap_error: float
    fpr95_nearest: float
    ap_success: float | None = None


MILLION = Published(
    10**6, False, 0.8554961403777648, 0.4782843627870581, 0.5558083395757526, ap_success=0.979114000076676
)
MILLION_TIES = Published(
    10**6, True, 0.8554934024045565, 0.4771904186485424, 0.5572831805885583, ap_success=0.9790261961366201
)
TEN_MILLION = Published(
    10**7, False, 0.8555177469033246, 0.47788488651927485, 0.5569510782453616, ap_success=0.9792114151538198
)
TEN_MILLION_TIES = Published(10**7, True, 0.8555150502838268, 0.47679044473640153, 0.5574112110849679)
CITY_IMAGE = Published(131_072, False, 0.8552755940256364, 0.47954835752755354, 0.5538376634403125)
STREET_IMAGE = Published(921_600, False, 0.8558914163120739, 0.479831530020577, 0.5577616631807996)

USUAL_FPR95 = {False: 0.5557327636986834, True: 0.5572831805885583}  # of the million
MEAN_OF_SEVEN_BLOCKS = 0.5552137048744538


def draw(pixels: int, ties: bool) -> Draw:
    """Scores and errors; the score is the negative of a confidence that is 1.5 higher where there is no error."""
    rng = np.random.default_rng(0)
    errors = rng.random(pixels) < 0.1
    confidence = rng.standard_normal(pixels).astype(np.float32) + np.float32(1.5) * ~errors
    return -(np.round(confidence, 2) if ties else confidence).astype(np.float32), errors


def streamed(scores: NDArray[np.float32], errors: NDArray[np.bool_]) -> RankingScores:
    ranking = StreamingRanking()
    for part, truth in zip(np.array_split(scores, 7), np.array_split(errors, 7), strict=True):
        ranking.update(part, truth)
    return ranking.compute()


def check(scores: RankingScores, published: Published, within: float, fpr95_within: float) -> None:
    assert scores.auroc == pytest.approx(published.auroc, abs=within)
    assert scores.ap_error == pytest.approx(published.ap_error, abs=within)
    assert scores.fpr95_nearest == pytest.approx(published.fpr95_nearest, abs=fpr95_within)
    if published.ap_success is not None:
        assert scores.ap_success == pytest.approx(published.ap_success, abs=within)


QUICK = [MILLION, MILLION_TIES, CITY_IMAGE, STREET_IMAGE]
LARGE = [pytest.param(published, marks=pytest.mark.slow) for published in (TEN_MILLION, TEN_MILLION_TIES)]


@pytest.mark.parametrize("published", [*QUICK, *LARGE], ids=lambda one: f"{one.pixels}{'-ties' * one.ties}")
def test_exact_and_streamed_scores_are_those_of_the_release(published: Published) -> None:
    scores, errors = draw(published.pixels, published.ties)
    check(ranking_scores(scores, errors), published, within=1e-9, fpr95_within=1e-6)
    exact = len(np.unique(scores)) < 1 << 20
    check(streamed(scores, errors), published, 1e-9 if exact else 1e-4, 1e-6 if exact else 1e-4)


@pytest.mark.parametrize("ties", [False, True])
def test_the_usual_fpr95_is_read_at_the_first_recall_that_suffices(ties: bool) -> None:
    scores, errors = draw(10**6, ties)
    assert ranking_scores(scores, errors).fpr95 == pytest.approx(USUAL_FPR95[ties], abs=1e-9)
    assert streamed(scores, errors).fpr95 == pytest.approx(USUAL_FPR95[ties], abs=1e-6)


def test_the_mean_over_blocks_of_fpr95() -> None:
    scores, errors = draw(10**6, ties=False)
    ranking = PerImageRanking()
    for start in range(0, 7 * 131_072, 131_072):
        ranking.update(scores[start : start + 131_072], errors[start : start + 131_072])
    assert ranking.compute().fpr95_nearest == pytest.approx(MEAN_OF_SEVEN_BLOCKS, abs=1e-9)
