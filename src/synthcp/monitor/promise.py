"""What a calibration shall promise, and how many images that takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from fractions import Fraction

from synthcp.errors import InputError


@dataclass(frozen=True)
class Promise:
    """What shall hold; every part lies between 0 and 1.

    Attributes:
        alpha: Greatest share of intervals that miss, and of bad predictions among the accepted.
        delta: Greatest chance, over the choice of calibration images, that the review threshold breaks its promise.
        floor: True quality of an image below which its prediction is bad.
        area: Greatest mean share of an image's known pixels that is flagged as unknown.

    Raises:
        InputError: A part does not lie between 0 and 1.
    """

    alpha: float = 0.1
    delta: float = 0.05
    floor: float = 0.5
    area: float = 0.01

    def __post_init__(self) -> None:
        for name in (part.name for part in fields(self)):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)} must lie between 0 and 1; give a share, such as 0.1")

    def check_images(self, images: int, flags_pixels: bool = True) -> None:
        """See to it that so many calibration images can keep the promise.

        Args:
            images: Number of calibration images.
            flags_pixels: Whether an anomaly threshold is promised too.

        Raises:
            InputError: They are too few; the message says how many are needed, and for what.
        """
        needs = {
            f"intervals at alpha {self.alpha:g}": images_for_share(self.alpha),
            f"a review threshold at alpha {self.alpha:g} and delta {self.delta:g}": images_for_review(self),
        }
        if flags_pixels:
            needs[f"a false-alarm area of {self.area:g}"] = images_for_share(self.area)
        reason, needed = max(needs.items(), key=lambda need: need[1])
        if images < needed:
            remedy = "add images, or raise alpha, delta or area"
            raise InputError(f"{images} calibration images are too few: {reason} needs {needed}; {remedy}")


def images_for_share(share: float) -> int:
    """Fewest images n with which a conformal method can promise a miss rate at all: 1 / (n + 1) <= share."""
    return math.ceil(1 / Fraction(str(share))) - 1


def images_for_review(promise: Promise) -> int:
    """Fewest accepted images, all of them good, that show a bad share of alpha at most: (1 - alpha)^n <= delta."""
    return math.ceil(math.log(promise.delta) / math.log1p(-promise.alpha))
