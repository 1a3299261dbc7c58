"""An interval around the predicted quality of a class: split conformal prediction, conditional on the class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthcp.monitor.promise import images_for_share
from synthcp.ranges import SHARE, check_ranges

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Intervals:
    """How far the true quality of a class may lie from the predicted one.

    Attributes:
        radii: By class name, in [0, 1]; 1 says nothing.
        rare: Names of the classes seen in too few calibration images for a promise of their own. Their radius is that
            of a class picked at random from a new image; one rare class may miss more often.
    """

    radii: dict[str, float]
    rare: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_ranges(self, radii=SHARE)

    def around(self, name: str, predicted: float) -> tuple[float, float]:
        """Lowest and highest quality of a class, provided the image shows it, inside [0, 1]."""
        return max(0.0, predicted - self.radii[name]), min(1.0, predicted + self.radii[name])


def fit_intervals(true: Floats, predicted: Floats, names: Sequence[str], alpha: float) -> Intervals:
    """Intervals by class, each from the images that show the class (split conformal, conditional on the class).

    Args:
        true: Quality of each class, shape (images, classes), NaN where the ground truth does not show it.
        predicted: shape (images, classes).
        names: Of the classes.
        alpha: Greatest share of intervals that miss.
    """
    residuals = np.abs(true - predicted)
    needed = images_for_share(alpha)
    rare = tuple(name for name, shown in zip(names, (~np.isnan(true)).sum(axis=0), strict=True) if shown < needed)
    own = {name: interval_radius(residuals[:, [index]], alpha) for index, name in enumerate(names)}
    common = interval_radius(residuals, alpha)
    return Intervals({name: common if name in rare else own[name] for name in names}, rare)


def interval_radius(residuals: Floats, alpha: float) -> float:
    """Radius that a new residual exceeds with probability alpha at most; 1 when the images are too few to say.

    With one class this is the ceil((n + 1) (1 - alpha))-th smallest of n residuals. Classes of one image depend on each
    other, so that of several classes every image weighs the same, shared by its classes, and the new residual is that
    of a class picked at random from a new image (hierarchical conformal prediction: Lee, Barber and Willett, 2023).

    Args:
        residuals: |true - predicted|, shape (images, classes), NaN where a class is not shown.
        alpha: Greatest share that may exceed the radius.
    """
    shown = ~np.isnan(residuals)
    images = int(shown.any(axis=1).sum())
    weights = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
    order = np.argsort(residuals[shown])
    weight = np.cumsum(weights[shown][order])
    enough = weight >= (images + 1) * (1 - alpha) - 1e-9  # sums of shares and decimals are not exact
    return min(1.0, float(residuals[shown][order][np.argmax(enough)])) if enough.any() else 1.0
