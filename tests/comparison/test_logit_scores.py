from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import entropy as entropy_of

from synthcp.comparison.logit_scores import (
    LOGIT_SCORES,
    energy,
    entropy,
    margin,
    msp_log_odds,
    negative_max_logit,
    one_minus_msp,
    uncertainty,
)

LOGITS = 4 * torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
PIXELS = LOGITS.double().movedim(1, -1).reshape(-1, 5).numpy()


def by_loop(of_one_pixel: object) -> torch.Tensor:
    assert callable(of_one_pixel)
    return torch.tensor([of_one_pixel(logits) for logits in PIXELS]).view(2, 3, 4).float()


def log_odds_of_wrong(logits: np.ndarray) -> float:
    others = np.delete(logits, logits.argmax())
    return float(logsumexp(others) - logits.max())


ORACLES = {
    one_minus_msp: lambda z: 1 - softmax(z).max(),
    msp_log_odds: log_odds_of_wrong,
    entropy: lambda z: entropy_of(softmax(z), base=5),
    margin: lambda z: np.sort(softmax(z))[-2] - np.sort(softmax(z))[-1],
    negative_max_logit: lambda z: -z.max(),
    energy: lambda z: -logsumexp(z),
}


@pytest.mark.parametrize("score", ORACLES, ids=lambda score: score.__name__)
def test_score_is_its_definition_pixel_by_pixel(score) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(score(LOGITS), by_loop(ORACLES[score]), atol=1e-6, rtol=1e-5)


def test_every_named_score_has_an_oracle() -> None:
    assert set(LOGIT_SCORES.values()) <= set(ORACLES)


@pytest.mark.parametrize("score", ORACLES, ids=lambda score: score.__name__)
def test_a_torn_pixel_scores_above_a_sure_one(score) -> None:  # type: ignore[no-untyped-def]
    torn, sure = torch.tensor([2.0, 1.9, 0.0]), torch.tensor([9.0, 1.0, 0.0])
    scores = score(torch.stack([torn, sure], dim=1)[None, :, :, None]).flatten()
    assert scores[0] > scores[1]


def test_log_odds_keep_the_order_of_msp_and_break_its_ties() -> None:
    order = msp_log_odds(LOGITS).flatten().argsort()
    assert (one_minus_msp(LOGITS).flatten()[order].diff() >= 0).all()
    sure = torch.tensor([[40.0, 0.0, -1.0], [60.0, 0.0, -1.0]])
    assert one_minus_msp(sure).tolist() == [0, 0]
    torch.testing.assert_close(msp_log_odds(sure).diff(), torch.tensor([-20.0]))


def test_log_odds_are_the_logit_of_one_minus_msp() -> None:
    torch.testing.assert_close(
        msp_log_odds(LOGITS).double(), torch.logit(one_minus_msp(LOGITS.double()).double()), atol=1e-3, rtol=1e-3
    )


def test_doubt_stacks_clipped_log_odds_entropy_and_margin() -> None:
    sure = torch.tensor([80.0, 0.0, 0.0]).view(1, 3, 1, 1)
    torn = torch.zeros(1, 3, 1, 1)
    torch.testing.assert_close(uncertainty(sure).flatten(), torch.tensor([-1.0, 0.0, -1.0]))
    torch.testing.assert_close(
        uncertainty(torn).flatten(), torch.tensor([np.log(2) / 10, 1.0, 0.0], dtype=torch.float32)
    )
