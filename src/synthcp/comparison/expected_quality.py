"""The quality of every class that an error map lets one expect."""

from __future__ import annotations

import torch
from torch import Tensor

from synthcp.nn.labels import one_hot
from synthcp.records import Measure


def corrected(quality: Tensor, correction: Tensor) -> Tensor:
    """Move qualities (B, L) by log-odds of the same shape; a correction that is infinite gives NaN, not a certainty."""
    log_odds = torch.logit(quality, eps=1e-3) + correction
    return log_odds.sigmoid() + 0 * log_odds  # 0 * inf is NaN, which a check finds


def expected_quality(logits: Tensor, error_probability: Tensor, measure: Measure = "IoU") -> Tensor:
    """Quality of every class to be expected if each pixel is wrong with its own probability, shape (B, L), in [0, 1].

    A pixel predicted as k is truly k with probability 1 - e; the rest is shared out over the other classes in
    proportion to M's softmax. Then, class by class, the IoU is E[TP] / (predicted + E[true] - E[TP]), and the Dice
    (2 E[TP] + 1) / (predicted + E[true] + 1), whose added pixel makes it 1 where nothing is predicted nor expected.

    Args:
        logits: Of M, shape (B, L, *S).
        error_probability: e, shape (B, *S), in [0, 1].
        measure: Of the quality.
    """
    predicted = one_hot(logits.argmax(dim=1), logits.shape[1]).flatten(2)  # (B, L, N)
    error = error_probability.flatten(1).unsqueeze(1)
    others = logits.float().flatten(2).masked_fill(predicted.bool(), -torch.inf).softmax(dim=1)
    true_positive = (predicted * (1 - error)).sum(dim=2)
    true = true_positive + (others * error).sum(dim=2)
    both = predicted.sum(dim=2) + true
    if measure == "Dice":
        return (2 * true_positive + 1) / (both + 1)
    return true_positive / (both - true_positive).clamp_min(1e-8)
