"""Which predictions are accepted without a look: a threshold by learn then test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from synthcp.monitor.promise import Promise, images_for_review
from synthcp.ranges import COUNT, SHARE, check_ranges

Floats = NDArray[np.floating]

THRESHOLDS = np.arange(200, -1, -1) / 200
"""Of predicted quality, from strict to lenient; fixed before any data is seen."""
FIRST_SHARE = 0.2
"""Share of the images that the first threshold to be tested accepts; with fewer, one unlucky image ends the tests."""


@dataclass(frozen=True)
class ReviewRule:
    """Which predictions are accepted without a look.

    Attributes:
        threshold: Predicted quality of an image from which it is accepted; None accepts nothing.
        accepted: How many calibration images it accepts.
        bad: How many of these are bad.
        all_bad: How many of all calibration images are bad.
    """

    threshold: float | None
    accepted: int = 0
    bad: int = 0
    all_bad: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, threshold=SHARE, accepted=COUNT, bad=COUNT, all_bad=COUNT)

    def accepts(self, quality: float) -> bool:
        """Whether an image of this predicted quality is accepted; NaN is not."""
        return self.threshold is not None and quality >= self.threshold


def fit_review(true: Floats, predicted: Floats, promise: Promise) -> ReviewRule:
    """The most lenient threshold that passes, by learn then test with a fixed sequence of tests.

    The thresholds of a fixed grid are tested from strict to lenient until one fails, beginning with the first that
    accepts a fifth of the images and enough to pass at all. The last that passed is kept; of thresholds that accept the
    same images the strictest, so that an image predicted worse than all of them goes to review. A threshold passes when
    p = P(Bin(accepted, alpha) <= bad) <= delta: were more than a share alpha of its accepted bad, so few bad ones would
    be seen with probability p at most (Angelopoulos et al., "Learn then test", 2021; fixed sequence: Bauer, 1991).

    Why this holds: given how many images a threshold accepts, their labels are independent and alike, so that a wrong
    threshold passes with probability delta at most; and a wrong one is kept only if the first wrong one of the sequence
    passes. Where the sequence begins depends on predicted qualities alone, not on labels. It decides which wrong one is
    the first, which does no harm as long as the accepted do not get better when more are accepted; a predicted quality
    that is worth anything sees to that.

    Args:
        true: True quality of each image, shape (images,).
        predicted: Predicted quality, shape (images,).
        promise: alpha, delta and floor.
    """
    accepts = predicted >= THRESHOLDS[:, None]
    accepted, bad = accepts.sum(axis=1), (accepts & (true < promise.floor)).sum(axis=1)
    start = int((accepted < max(images_for_review(promise), FIRST_SHARE * len(true))).sum())
    passes = bdtr(bad[start:], accepted[start:], promise.alpha) <= promise.delta
    last = start + int(np.logical_and.accumulate(passes).sum()) - 1
    if last < start:
        return ReviewRule(None, all_bad=int(bad[-1]))
    kept = int(np.searchsorted(accepted, accepted[last]))
    return ReviewRule(float(THRESHOLDS[kept]), int(accepted[kept]), int(bad[kept]), int(bad[-1]))
