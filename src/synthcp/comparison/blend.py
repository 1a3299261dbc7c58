"""The shipped score: F's log-odds and M's uncertainty, blended by a logistic regression on out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.comparison.logit_scores import msp_log_odds
from synthcp.ranges import COEFFICIENT, check_ranges


@dataclass(frozen=True)
class Blend:
    """Probability of error, sigmoid(failure * F's log-odds + uncertainty * MSP's log-odds + bias).

    Attributes:
        failure: Weight of the log-odds of F.
        uncertainty: Weight of the log-odds of MSP.
        bias: Of the regression.
    """

    failure: float = 1.0
    uncertainty: float = 0.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, failure=COEFFICIENT, uncertainty=COEFFICIENT, bias=COEFFICIENT)

    def __call__(self, error_log_odds: Tensor, logits: Tensor) -> Tensor:
        """Return the probability of error, shape (B, *S), from F's log-odds (B, *S) and M's logits (B, L, *S)."""
        return (self.failure * error_log_odds + self.uncertainty * msp_log_odds(logits) + self.bias).sigmoid()


def fit_blend(error_log_odds: Tensor, msp: Tensor, error: Tensor, ridge: float = 1e-3) -> Blend:
    """Fit the regression; more uncertainty never means fewer errors, so what would get a negative weight is left out.

    Args:
        error_log_odds: Of F, shape (N,), for pixels that F was not trained on.
        msp: Log-odds of MSP, shape (N,).
        error: 1 wrong, 0 right, shape (N,).
        ridge: Weight of the squared coefficients, which keeps separable data finite.
    """
    failure, uncertainty, bias = logistic_regression([error_log_odds, msp], error, ridge)
    if uncertainty < 0:
        failure, bias = logistic_regression([error_log_odds], error, ridge)
        uncertainty = 0.0
    if failure < 0:
        uncertainty, bias = logistic_regression([msp], error, ridge)
        return Blend(0.0, max(0.0, uncertainty), bias)
    return Blend(failure, uncertainty, bias)


def logistic_regression(inputs: Sequence[Tensor], target: Tensor, ridge: float) -> list[float]:
    """Return the weights of the inputs and, last, the bias, by Newton's method in double precision.

    Args:
        inputs: Each of shape (N,).
        target: 1 or 0, shape (N,).
        ridge: Weight of the squared coefficients.
    """
    design = torch.stack([*inputs, torch.ones_like(inputs[0])], dim=1).double()
    coefficients = torch.zeros(design.shape[1], dtype=torch.float64)
    penalty = ridge * torch.eye(design.shape[1], dtype=torch.float64)
    for _ in range(30):
        probability = (design @ coefficients).sigmoid()
        gradient = design.T @ (probability - target.double()) / len(design) + penalty @ coefficients
        curvature = (probability * (1 - probability)).unsqueeze(1) * design
        coefficients = coefficients - torch.linalg.solve(design.T @ curvature / len(design) + penalty, gradient)
    return coefficients.tolist()
