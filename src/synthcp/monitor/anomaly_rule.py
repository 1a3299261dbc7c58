"""Which pixels are flagged as unknown: a threshold by conformal risk control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthcp.errors import InputError
from synthcp.metrics.histogram import ordered_keys, scores_of_keys
from synthcp.monitor.promise import images_for_share
from synthcp.ranges import COEFFICIENT, SHARE, check_ranges

Floats = NDArray[np.floating]

USUAL = 0.9
"""Share of the images that shall not alarm, as for the thresholds of a fit."""
_COARSE = np.uint32(14)  # low bits that scores lose on the grid of thresholds: 9 of the mantissa stay, 0.2 %


@dataclass(frozen=True)
class ScoreCurve:
    """How the anomaly scores of one image's known pixels are distributed, on a grid of all floats.

    Attributes:
        keys: Places on the grid that occur, increasing, shape (K,), uint32.
        shares: Share of the pixels at each place, shape (K,); they add up to 1.
    """

    keys: NDArray[np.uint32]
    shares: Floats

    def flagged(self, threshold: float) -> float:
        """Share of the pixels at or above a threshold of the grid, in [0, 1]."""
        return float(self.shares[self.keys >= _places(np.array([threshold], np.float32))].sum())


def score_curve(scores: NDArray[np.float32]) -> ScoreCurve:
    """The curve of an image, from the scores of its labelled pixels that are no anomaly, shape (N,).

    Raises:
        InputError: There is no such pixel, or a score is NaN or infinite.
    """
    if not (len(scores) and np.isfinite(scores).all()):
        raise InputError(f"{len(scores)} anomaly scores: an image needs labelled pixels, each with a finite score")
    keys, counts = np.unique(_places(scores), return_counts=True)
    return ScoreCurve(keys, counts / len(scores))


@dataclass(frozen=True)
class AnomalyRule:
    """Which pixels are flagged as unknown.

    Attributes:
        threshold: Anomaly score above which a pixel is flagged.
        usual_share: Share of flagged pixels that nine of ten calibration images do not exceed; beyond it, an image
            alarms. That is no promise.
    """

    threshold: float
    usual_share: float

    def __post_init__(self) -> None:
        check_ranges(self, threshold=COEFFICIENT, usual_share=SHARE)


def fit_anomaly(curves: Sequence[ScoreCurve], area: float) -> AnomalyRule:
    """The smallest threshold that flags, on average, a share `area` at most of a new image's known pixels.

    Conformal risk control (Angelopoulos et al., ICLR 2024): with R the mean share of n calibration images, the smallest
    threshold with n / (n + 1) R + 1 / (n + 1) <= area. The share falls as the threshold rises, as the method demands.
    Pixels at the threshold count as flagged though only those above it are; so the grid errs on the safe side.

    Args:
        curves: Of the calibration images.
        area: In (0, 1).

    Raises:
        InputError: The images are too few for any threshold.
    """
    if len(curves) < images_for_share(area):
        raise InputError(f"{len(curves)} images are too few: area {area:g} needs {images_for_share(area)}; add images")
    places, at = np.unique(np.concatenate([curve.keys for curve in curves]), return_inverse=True)
    total = np.bincount(at, np.concatenate([curve.shares for curve in curves]))
    from_here = np.append(np.cumsum(total[::-1])[::-1], 0.0)  # sum over the images of the share at or above each place
    first = int(np.argmax((from_here + 1) / (len(curves) + 1) <= area + 1e-12))
    after_too_much = places[first - 1 : first] + np.uint32(1)  # it need not be a place that occurs
    threshold = float(scores_of_keys(after_too_much << _COARSE)[0])
    shares = [curve.flagged(threshold) for curve in curves]
    return AnomalyRule(threshold, float(np.quantile(shares, USUAL, method="higher")))


def _places(scores: NDArray[np.float32]) -> NDArray[np.uint32]:
    return ordered_keys(scores) >> _COARSE
