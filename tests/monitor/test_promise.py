from __future__ import annotations

import math
from dataclasses import replace

import pytest
from scipy.stats import binom

from synthcp.errors import InputError
from synthcp.monitor.promise import Promise, images_for_review, images_for_share


@pytest.mark.parametrize("share", [0.5, 0.3, 0.2, 0.1, 0.07, 0.05, 0.01])
def test_a_share_needs_the_fewest_images_whose_rank_exists(share: float) -> None:
    needed = images_for_share(share)
    assert math.ceil((needed + 1) * (1 - share) - 1e-9) <= needed
    assert math.ceil(needed * (1 - share) - 1e-9) > needed - 1


@pytest.mark.parametrize(("alpha", "delta"), [(0.1, 0.05), (0.05, 0.1), (0.2, 0.1), (0.3, 0.01)])
def test_a_review_needs_the_fewest_good_images_that_pass(alpha: float, delta: float) -> None:
    needed = images_for_review(Promise(alpha, delta))
    assert binom.cdf(0, needed, alpha) <= delta < binom.cdf(0, needed - 1, alpha)


@pytest.mark.parametrize(
    ("promise", "images", "message"),
    [
        (Promise(), 98, "98 calibration images are too few: a false-alarm area of 0.01 needs 99; add images"),
        (Promise(area=0.1), 28, "a review threshold at alpha 0.1 and delta 0.05 needs 29"),
        (Promise(alpha=0.05, delta=0.6, area=0.5), 18, "intervals at alpha 0.05 needs 19"),
    ],
)
def test_too_few_images_are_refused_with_the_number_needed(promise: Promise, images: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        promise.check_images(images)
    promise.check_images(images + 1)


def test_without_an_anomaly_map_no_area_is_promised() -> None:
    Promise().check_images(29, flags_pixels=False)
    with pytest.raises(InputError, match="needs 29"):
        Promise().check_images(28, flags_pixels=False)


@pytest.mark.parametrize("name", ["alpha", "delta", "floor", "area"])
@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, math.nan])
def test_every_part_of_a_promise_is_a_share(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^{name} {value} must lie between 0 and 1"):
        replace(Promise(), **{name: value})
