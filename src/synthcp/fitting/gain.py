"""What one F gains over another: both rank the errors of the same images, kept aside from both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcp.comparison.network import ComparisonNetwork
from synthcp.metrics.bootstrap import Interval, bootstrap
from synthcp.metrics.ranking import ranking_scores
from synthcp.system.runtime import Runtime, generator_of
from synthcp.training.comparator import ImperfectExamples, batched

PIXELS = 500
"""Taken of each image, at random."""
FEWEST = 10
"""Images; of fewer an interval over images says nothing."""
SAMPLES = 300
"""Of the bootstrap over images."""


@dataclass(frozen=True)
class Gain:
    """AP-Error of both on the same pixels, in [0, 1].

    Attributes:
        first: Of the one.
        second: Of the other, such as F without a drawing, or M's own uncertainty.
        difference: Of the first from the second, with its 95 % interval over images.
        images: How many.
    """

    first: float
    second: float
    difference: Interval
    images: int

    @property
    def is_sure(self) -> bool:
        """Whether there is one beyond the choice of images."""
        return self.difference.low > 0

    def in_words(self, first: str, second: str) -> str:
        """Say it in one line, in percent; the names go behind their numbers."""
        parts = (self.difference.value, self.difference.low, self.difference.high)
        value, low, high = (f"{100 * part:+.1f}" for part in parts)
        return (
            f"AP-Error {100 * self.first:.1f} {first}, {100 * self.second:.1f} {second}, on {self.images} images kept "
            f"aside: {value} (95 % interval {low} to {high})"
        )


Ranking = tuple[ComparisonNetwork, ImperfectExamples]
"""F, and the examples kept aside from it."""


def gain_of(first: Ranking, second: Ranking, runtime: Runtime, seed: int) -> Gain | None:
    """Compare two F on examples of the same images.

    Returns:
        None where no chosen pixel is wrong, or the images are too few to tell.
    """
    pairs = zip(_ranked(*first, runtime, seed), _ranked(*second, runtime, seed), strict=True)
    rows = [(one[0], other[0], one[1]) for one, other in pairs if len(one[1]) == PIXELS]
    if len(rows) < FEWEST or not any(errors.any() for *_, errors in rows):
        return None
    ours, theirs, errors = (np.stack(column) for column in zip(*rows, strict=True))
    difference = bootstrap(_difference, ours, theirs, errors, samples=SAMPLES, seed=seed)
    return Gain(_ap(ours, errors), _ap(theirs, errors), difference, len(rows))


def _difference(first: NDArray[np.float32], second: NDArray[np.float32], errors: NDArray[np.bool_]) -> float:
    return _ap(first, errors) - _ap(second, errors)


def _ap(scores: NDArray[np.float32], errors: NDArray[np.bool_]) -> float:
    return ranking_scores(scores.ravel(), errors.ravel()).ap_error if errors.any() else float("nan")


@torch.no_grad()
def _ranked(
    network: ComparisonNetwork, examples: ImperfectExamples, runtime: Runtime, seed: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """F's log-odds of some known pixels of each image, and whether they are wrong; fewer where fewer are known."""
    ignore = examples.dataset.classes.ignore_index
    for view, index in examples:
        evidence, label_map = examples.read(view, index)
        with runtime.autocast():
            log_odds: Tensor = network(batched(evidence, runtime))[0]
        known = torch.nonzero(label_map.flatten() != ignore)[:, 0]
        chosen = known[torch.randperm(len(known), generator=generator_of(seed, "drawing", index))[:PIXELS]]
        wrong = (evidence.logits.argmax(dim=0) != label_map).flatten()[chosen]
        yield log_odds[0].float().cpu().flatten()[chosen].numpy(), wrong.numpy()
