"""Scores that need nothing but M's logits: MSP, entropy, margin, max-logit, energy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.records import Detection, Prediction

LogitScore = Callable[[Tensor], Tensor]
"""From logits (B, L, *S) to a score (B, *S), larger = more likely wrong or unknown."""


def one_minus_msp(logits: Tensor) -> Tensor:
    """1 - p, p the maximum softmax probability (Hendrycks and Gimpel, ICLR 2017); in [0, 1 - 1 / L]."""
    return 1 - logits.float().softmax(dim=1).amax(dim=1)


def msp_log_odds(logits: Tensor) -> Tensor:
    """Log-odds of the prediction being wrong if M were calibrated, log((1 - p) / p); MSP's order without its ties at 1.

    Computed from the logits: the other classes' logsumexp minus the largest logit.
    """
    logits = logits.float()
    top, index = logits.max(dim=1, keepdim=True)
    others = logits.scatter(1, index, -math.inf).logsumexp(dim=1)
    return others - top.squeeze(1)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax over its maximum log L; in [0, 1]."""
    log_probabilities = logits.float().log_softmax(dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1) / math.log(logits.shape[1])


def margin(logits: Tensor) -> Tensor:
    """Second largest probability minus the largest; in [-1, 0], 0 where M is torn between two classes."""
    probabilities = logits.float().softmax(dim=1)
    top, index = probabilities.max(dim=1, keepdim=True)
    second = probabilities.scatter(1, index, -math.inf).amax(dim=1)  # several times as fast as topk
    return second - top[:, 0]


def negative_max_logit(logits: Tensor) -> Tensor:
    """Minus the largest logit (Hendrycks et al., ICML 2022); any real number."""
    return -logits.float().amax(dim=1)


def energy(logits: Tensor) -> Tensor:
    """Minus the logsumexp of the logits, the free energy (Liu et al., NeurIPS 2020); any real number."""
    return -logits.float().logsumexp(dim=1)


LOGIT_SCORES: dict[str, LogitScore] = {
    "msp": one_minus_msp,
    "entropy": entropy,
    "max-logit": negative_max_logit,
    "energy": energy,
}


@dataclass(frozen=True)
class LogitDetector:
    """Takes a score of the logits both for the error map and for the anomaly map.

    Attributes:
        score: Which one.
    """

    score: LogitScore

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        score = self.score(prediction.logits)
        return Detection(error_map=score, anomaly_map=score)


def uncertainty(logits: Tensor) -> Tensor:
    """Stack M's own uncertainty: MSP log-odds (clipped to +-10, over 10), entropy, margin; shape (B, 3, *S)."""
    log_odds = msp_log_odds(logits).clamp(-10, 10) / 10
    return torch.stack([log_odds, entropy(logits), margin(logits)], dim=1)
