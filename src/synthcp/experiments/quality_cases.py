"""What each row of Table 2 predicted of each case, what was true, and how well the two agree, with intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synthcp.errors import InputError
from synthcp.metrics.bootstrap import Interval, bootstrap
from synthcp.metrics.regression import regression_scores
from synthcp.metrics.risk import risk_coverage

Floats = NDArray[np.float64]
Score = Callable[[Floats, Floats], float]

SCORES: dict[str, Score] = {
    "MAE": lambda true, predicted: regression_scores(true, predicted).mae,
    "STD": lambda true, predicted: regression_scores(true, predicted).std,
    "STD, signed": lambda true, predicted: regression_scores(true, predicted).std_signed,
    "P.C.": lambda true, predicted: regression_scores(true, predicted).pearson,
    "S.C.": lambda true, predicted: regression_scores(true, predicted).spearman,
    "AURC": lambda true, predicted: risk_coverage(predicted, 1 - true).aurc,
}
"""Of true and predicted Dice of one structure, shape (cases,) each."""
SMALLER_IS_BETTER = ("MAE", "STD", "STD, signed", "AURC")


@dataclass(frozen=True)
class QualityCases:
    """The cases of one test and one seed.

    Attributes:
        facts: Under which they were judged.
        ids: Of the cases.
        structures: Names of the classes but the background.
        true: Dice by case and structure, shape (cases, structures).
        empty: Whether the prediction lacks the structure, same shape.
        predicted: By row of the table, each of the same shape.
    """

    facts: dict[str, str]
    ids: list[str]
    structures: list[str]
    true: list[list[float]]
    empty: list[list[bool]]
    predicted: dict[str, list[list[float]]]

    def with_mean(self, name: str, first: str, second: str) -> QualityCases:
        """Return them with one more row, the mean of two others."""
        both = np.array(self.predicted[first]) + np.array(self.predicted[second])
        return replace(self, predicted={**self.predicted, name: (both / 2).tolist()})

    def to_json(self) -> str:
        """Return them as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> QualityCases:
        """Read them back.

        Raises:
            InputError: The text does not hold cases.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise InputError(f"the cases of a table are unreadable ({error}); remove the file, run again") from error


@dataclass(frozen=True)
class SeedScores:
    """A statistic over several seeds that judged the same cases: mean over seeds and structures.

    Attributes:
        seeds: The cases of each seed, in the same order.
        held_only: Whether a structure counts only where the prediction holds it.
    """

    seeds: Sequence[QualityCases]
    held_only: bool = False

    def of_seed(self, cases: QualityCases, row: str, score: str, chosen: NDArray[np.int64]) -> float:
        """Return the mean over the structures of one row's score on the chosen cases; NaN where it is undefined."""
        true, predicted = np.array(cases.true)[chosen], np.array(cases.predicted[row])[chosen]
        held = ~np.array(cases.empty)[chosen] if self.held_only else np.ones_like(true, dtype=bool)
        columns = zip(true.T, predicted.T, held.T, strict=True)
        return float(np.mean([SCORES[score](t[h], p[h]) for t, p, h in columns]))

    def by_seed(self, row: str, score: str) -> tuple[float, ...]:
        """Return one row's score for every seed."""
        everyone = np.arange(len(self.seeds[0].ids))
        return tuple(self.of_seed(cases, row, score, everyone) for cases in self.seeds)

    def difference(self, first: str, second: str, score: str) -> Interval:
        """Return the first row's mean score minus the second's, with a paired bootstrap interval over the cases."""

        def statistic(chosen: NDArray[np.int64]) -> float:
            pairs = [
                self.of_seed(cases, first, score, chosen) - self.of_seed(cases, second, score, chosen)
                for cases in self.seeds
            ]
            return float(np.mean(pairs))

        return bootstrap(statistic, np.arange(len(self.seeds[0].ids)))
