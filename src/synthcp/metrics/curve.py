"""What is read off a ranking: positives and negatives counted at every threshold, from the highest down."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
RECALL = 0.95


class RankingCurve:
    """The curve of one ranking; pixels of equal score form one threshold.

    Every score needs at least one positive and one negative pixel; `best_f1` needs a positive one.
    """

    def __init__(self, hits: Counts, misses: Counts) -> None:
        """Takes the positives and the negatives at each threshold, from the highest down, shape (thresholds,) each."""
        self.hits, self.misses = hits, misses
        self.positives, self.negatives = int(hits.sum()), int(misses.sum())

    @cached_property
    def true_positives(self) -> Counts:
        """Positives at or above each threshold, shape (thresholds,)."""
        return np.cumsum(self.hits)

    @cached_property
    def false_positives(self) -> Counts:
        """Negatives at or above each threshold, shape (thresholds,)."""
        return np.cumsum(self.misses)

    @cached_property
    def recall(self) -> NDArray[np.float64]:
        """True positive rate at each threshold, shape (thresholds,), in [0, 1]."""
        return self.true_positives / self.positives

    def auroc(self) -> float:
        """Chance that a positive scores above a negative, equal scores counting half."""
        above = self.true_positives - self.hits / 2
        return float(above @ self.misses / self.positives / self.negatives)

    def average_precision(self) -> float:
        """Step form: the precision at each threshold, weighted by the recall gained there."""
        precision = self.true_positives / (self.true_positives + self.false_positives)
        return float(precision @ self.hits / self.positives)

    def reversed(self) -> RankingCurve:
        """The curve of the search for the negatives by low scores."""
        return RankingCurve(self.misses[::-1], self.hits[::-1])

    def fpr95(self) -> float:
        """False positive rate at the first threshold whose recall is at least 0.95."""
        return self._false_positive_rate(int(np.argmax(self.recall >= RECALL)))

    def fpr95_nearest(self) -> float:
        """False positive rate at the threshold whose recall is nearest to 0.95, which may be below it.

        The rule of CAOS (Hendrycks et al., 2022) and of SynthCP's released evaluation: of several thresholds of that
        recall the lowest, so with the most false positives; but of those of full recall the highest.
        """
        recall = self.recall[: np.argmax(self.true_positives == self.positives) + 1]
        return self._false_positive_rate(len(recall) - 1 - int(np.argmin(np.abs(recall[::-1] - RECALL))))

    def best_f1(self) -> int:
        """Index of the threshold with the highest F1 = 2 TP / (2 TP + FP + FN), the first of equals."""
        found = self.true_positives
        return int(np.argmax(2 * found / (found + self.false_positives + self.positives)))

    def _false_positive_rate(self, index: int) -> float:
        return float(self.false_positives[index] / self.negatives)
