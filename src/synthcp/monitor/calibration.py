"""What a monitor promises, and what that says of one image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from synthcp.monitor.anomaly_rule import AnomalyRule
from synthcp.monitor.intervals import Intervals
from synthcp.monitor.promise import Promise
from synthcp.monitor.review import ReviewRule
from synthcp.ranges import COUNT, check_ranges
from synthcp.records import Assessment, Decision
from synthcp.system.spec import PREDICTIONS, Spec


@dataclass(frozen=True)
class Calibration:
    """A promise and the numbers that keep it.

    Attributes:
        promise: What shall hold.
        created: Date and time, ISO 8601.
        data: Where the calibration images came from.
        images: How many there were.
        groups: How many groups (videos, cities, patients) they came from; 0 when they have none.
        intervals: Of the quality of each class.
        review: Which predictions are accepted.
        anomaly: Which pixels are flagged as unknown; None for a monitor without anomaly maps.
        model: SPEC of the M that made the predictions; the promise is about no other.
        fingerprint: Of this M's weights, "" where they cannot be seen.
        failed: How many of the images could not be judged, and why the first could not; "" when all could.
        usual: Scores of the calibration images by column of results.csv, for new ones to be held against (see drift).
    """

    promise: Promise
    created: str
    data: str
    images: int
    groups: int
    intervals: Intervals
    review: ReviewRule
    anomaly: AnomalyRule | None = None
    model: str = ""
    fingerprint: str = ""
    failed: str = ""
    usual: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_ranges(self, images=COUNT, groups=COUNT)

    def speaks_of(self, model: str, fingerprint: str = "") -> bool:
        """Whether the promise is about this M; any folder of predictions is taken for one of the same M."""
        if Spec.parse(self.model).name == PREDICTIONS:
            return Spec.parse(model).name == PREDICTIONS
        return (model, fingerprint) == (self.model, self.fingerprint)

    def judge(self, assessment: Assessment) -> Assessment:
        """The assessment with intervals, decision and the reasons for it."""
        decision, reason = self.decide(assessment.mean_quality)
        intervals = {name: self.intervals.around(name, value) for name, value in assessment.class_quality.items()}
        return replace(assessment, intervals=intervals, decision=decision, reasons=(reason,))

    def decide(self, quality: float) -> tuple[Decision, str]:
        """What to do with a prediction of this image quality, and why."""
        threshold, promise = self.review.threshold, self.promise
        if threshold is None:
            return "review", "no threshold passed the test in calibration; every image goes to review"
        if np.isnan(quality):
            return "review", "the prediction holds no class that counts, so that its quality is undefined"
        told = f"{np.floor(1000 * quality) / 1000:.3f}"  # rounded down it stays below what it is below
        if not self.review.accepts(quality):
            return "review", f"predicted quality {told} is below {threshold:.3f}"
        return "accept", (
            f"predicted quality {told} is not below {threshold:.3f}; of the images accepted so, at most "
            f"{_percent(promise.alpha)} are truly below {promise.floor:g} (confidence {_percent(1 - promise.delta)})"
        )

    def levels(self) -> dict[str, float]:
        """The floor, and the predicted quality from which images are accepted, if any are."""
        accept = {} if self.review.threshold is None else {"accept": self.review.threshold}
        return {"floor": self.promise.floor} | accept

    def in_words(self) -> dict[str, str]:
        """What is promised, by subject, as sentences."""
        origin = (f" of {self.data}" if self.data else "") + (f", from {self.groups} groups" if self.groups else "")
        promised = {
            "calibrated": f"{self.created[:10]} on {self.images} images{origin}",
            "holds for": "new images like these; not for another camera, place or segmenter",
            "intervals": self._intervals_in_words(),
            "to review": self._review_in_words(),
        }
        return promised if self.anomaly is None else promised | {"unknown pixels": self._area_in_words(self.anomaly)}

    def _intervals_in_words(self) -> str:
        chance, rare = _percent(1 - self.promise.alpha), ", ".join(self.intervals.rare)
        said = f"with probability {chance} or more, the true quality of a class in the image lies in its interval"
        return f"{said}; too rare for a promise of their own: {rare}" if rare else said

    def _review_in_words(self) -> str:
        rule, alpha, confidence = self.review, _percent(self.promise.alpha), _percent(1 - self.promise.delta)
        if rule.threshold is None:
            return f"every image; no threshold showed that at most {alpha} of the accepted are bad ({self._bad()})"
        return (
            f"images of predicted quality below {rule.threshold:g}; with confidence {confidence}, at most {alpha} of "
            f"the others are bad ({self._bad()}; {rule.bad} of the {rule.accepted} accepted)"
        )

    def _bad(self) -> str:
        share = f"{self.review.all_bad} of the {self.images} calibration images"
        return f"bad is a true quality below {self.promise.floor:g}: {share}"

    def _area_in_words(self, rule: AnomalyRule) -> str:
        area = _percent(self.promise.area)
        return f"those with a score above {rule.threshold:.4g}; on average at most {area} of an image's known pixels"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
