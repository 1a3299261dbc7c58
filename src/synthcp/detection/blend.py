"""The shipped score: F's verdict and M's own doubt, blended by a logistic regression on out-of-fold predictions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.detection.logit_scores import msp_log_odds


@dataclass(frozen=True)
class Blend:
    """Probability of error, sigmoid(failure * F's log-odds + doubt * MSP's log-odds + bias).

    Attributes:
        failure: Weight of the log-odds of F.
        doubt: Weight of the log-odds of MSP.
        bias: Of the regression.
    """

    failure: float = 1.0
    doubt: float = 0.0
    bias: float = 0.0

    def __call__(self, error_log_odds: Tensor, logits: Tensor) -> Tensor:
        """Return the probability of error, shape (B, *S), from F's log-odds (B, *S) and M's logits (B, L, *S)."""
        return (self.failure * error_log_odds + self.doubt * msp_log_odds(logits) + self.bias).sigmoid()


def fit_blend(error_log_odds: Tensor, msp: Tensor, error: Tensor, ridge: float = 1e-3) -> Blend:
    """Fit the regression by Newton's method, in double precision.

    Args:
        error_log_odds: Of F, shape (N,), for pixels that F was not trained on.
        msp: Log-odds of MSP, shape (N,).
        error: 1 wrong, 0 right, shape (N,).
        ridge: Weight of the squared coefficients, which keeps separable data finite.
    """
    inputs = torch.stack([error_log_odds, msp, torch.ones_like(msp)], dim=1).double()
    coefficients = torch.zeros(3, dtype=torch.float64)
    for _ in range(30):
        probability = (inputs @ coefficients).sigmoid()
        gradient = inputs.T @ (probability - error.double()) / len(inputs) + ridge * coefficients
        curvature = (probability * (1 - probability)).unsqueeze(1) * inputs
        hessian = inputs.T @ curvature / len(inputs) + ridge * torch.eye(3, dtype=torch.float64)
        coefficients = coefficients - torch.linalg.solve(hessian, gradient)
    failure, doubt, bias = coefficients.tolist()
    return Blend(failure, doubt, bias)
