from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from synthcp.comparison.blend import Blend, fit_blend, logistic_regression
from synthcp.comparison.logit_scores import msp_log_odds


@pytest.mark.parametrize("ridge", [1e-3, 0.1])
def test_fit_is_ridge_logistic_regression(ridge: float) -> None:
    torch.manual_seed(0)
    failure, uncertainty = 3 * torch.randn(400) - 1, 2 * torch.randn(400) - 2
    error = (torch.rand(400) < (0.7 * failure + 0.2 * uncertainty - 0.5).sigmoid()).float()
    blend = fit_blend(failure, uncertainty, error, ridge)
    # The bias is shrunk like the others, so it enters as a column.
    oracle = LogisticRegression(C=1 / (ridge * 400), fit_intercept=False, tol=1e-10, max_iter=1000)
    oracle.fit(torch.stack([failure, uncertainty, torch.ones(400)], dim=1).double().numpy(), error.numpy())
    assert (blend.failure, blend.uncertainty, blend.bias) == pytest.approx(tuple(oracle.coef_[0]), abs=1e-5)
    assert blend.failure > blend.uncertainty > 0


def test_separable_data_stay_finite() -> None:
    failure = torch.tensor([-3.0, -2.0, 2.0, 3.0])
    blend = fit_blend(failure, torch.zeros(4), torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert 0 < blend.failure < 10 and blend.uncertainty == 0


def test_probability_of_error() -> None:
    logits = torch.tensor([2.0, 0.5, -1.0]).view(1, 3, 1, 1)
    error_log_odds = torch.tensor([[[0.8]]])
    expected = torch.sigmoid(0.5 * error_log_odds - 2 * msp_log_odds(logits) + 0.25)
    torch.testing.assert_close(Blend(0.5, -2.0, 0.25)(error_log_odds, logits), expected)
    assert Blend()(error_log_odds, logits).equal(error_log_odds.sigmoid())


def test_a_score_that_would_count_against_errors_is_left_out() -> None:
    torch.manual_seed(1)
    failure, uncertainty = 2 * torch.randn(500), 2 * torch.randn(500)
    error = (torch.rand(500) < (failure - 0.5 * uncertainty).sigmoid()).float()
    blend = fit_blend(failure, uncertainty, error)
    weight, bias = logistic_regression([failure], error, 1e-3)
    assert (blend.failure, blend.uncertainty, blend.bias) == (weight, 0.0, bias) and weight > 0
    swapped = fit_blend(uncertainty, failure, error)
    assert (swapped.failure, swapped.uncertainty) == (0.0, weight)
