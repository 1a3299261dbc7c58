"""Which images to annotate: bad ones, but not many of a kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcp.errors import ShapeError


def select(badness: ArrayLike, embeddings: ArrayLike, budget: int) -> list[int]:
    """Choose the worst item, then each time the one whose badness times distance to the nearest chosen one is largest.

    This is the greedy rule of the weighted k-centre problem (Dyer and Frieze, Operations Research Letters 1985). With
    equal badness it is k-Center-Greedy (Gonzalez 1985; Sener and Savarese, ICLR 2018), with equal embeddings the
    ranking by badness. Ties go to the worse item, then to the more distant one, then to the earlier one.

    Args:
        badness: How bad each item is expected to be, shape (N,), not negative; larger is worse.
        embeddings: What each item looks like, shape (N, K); Euclidean distance tells how different two are.
        budget: k; a larger one than N chooses all.

    Returns:
        Indices of min(k, N) different items, in the order in which they were chosen.

    Raises:
        ShapeError: The two do not belong to the same items.
    """
    weights, points = np.asarray(badness, np.float64), np.asarray(embeddings, np.float64)
    if points.ndim != 2 or weights.shape != points.shape[:1]:
        raise ShapeError(f"badness {weights.shape} and embeddings {points.shape} must be (N,) and (N, K), with one N")
    distance = np.ones(len(weights))  # to the nearest chosen item; before there is one, badness alone counts
    left = np.ones(len(weights), bool)
    chosen: list[int] = []
    while left.any() and len(chosen) < budget:
        best = _best(weights, distance, np.flatnonzero(left))
        away = np.linalg.norm(points - points[best], axis=1)
        distance = np.minimum(distance, away) if chosen else away
        left[best] = False
        chosen.append(best)
    return chosen


def _best(weights: NDArray[np.float64], distance: NDArray[np.float64], left: NDArray[np.intp]) -> int:
    """The index, among those left, of the largest product; see `select` for ties."""
    order = np.lexsort((left, -distance[left], -weights[left], -(weights * distance)[left]))
    return int(left[order[0]])
