from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from synthcp.config.values import from_dict, to_dict
from synthcp.monitor.anomaly_rule import AnomalyRule
from synthcp.monitor.calibration import Calibration
from synthcp.monitor.intervals import Intervals
from synthcp.monitor.promise import Promise
from synthcp.monitor.review import ReviewRule
from synthcp.records import Assessment

WHOLE = Calibration(
    Promise(delta=0.025, area=0.02),
    created="2026-01-31T10:00:00+00:00",
    data="folder:street, split val",
    images=120,
    groups=7,
    intervals=Intervals({"road": 0.1 + 0.2, "rider": 1.0}, ("rider",)),
    review=ReviewRule(0.61, 80, 3, 31),
    anomaly=AnomalyRule(0.375, 0.04),
    model="hf:street-model",
)
NOTHING = replace(WHOLE, intervals=Intervals({"road": 0.25}), review=ReviewRule(None), anomaly=None, groups=0, data="")


@pytest.mark.parametrize("whole", [WHOLE, NOTHING])
def test_a_calibration_survives_json(whole: Calibration) -> None:
    assert from_dict(Calibration, json.loads(json.dumps(to_dict(whole), allow_nan=False))) == whole


def test_a_decision_follows_the_rule_and_says_why() -> None:
    assert WHOLE.decide(0.60999) == ("review", "predicted quality 0.609 is below 0.610")
    decision, reason = WHOLE.decide(0.61)
    assert decision == "accept" and "at most 10 % are truly below 0.5 (confidence 97.5 %)" in reason
    assert NOTHING.decide(1.0) == ("review", "no threshold passed the test in calibration; every image goes to review")


@pytest.mark.parametrize(("second", "decision"), [(0.62, "accept"), (0.5, "review")])
def test_an_assessment_is_judged_by_the_mean_over_the_classes_that_are_there(second: float, decision: str) -> None:
    map_ = torch.zeros(2, 2)
    quality = {"road": 0.6, "rider": second, "bus": 0.0}
    raw = Assessment(map_.long(), map_, None, map_, quality, ("road", "rider"), alarms=("look",))
    whole = replace(WHOLE, intervals=Intervals({"road": 0.3, "rider": 1.0, "bus": 0.2}))
    judged = whole.judge(raw)
    assert judged.decision == decision and judged.reasons == (whole.decide((0.6 + second) / 2)[1],)
    assert judged.intervals["road"] == pytest.approx((0.3, 0.9)) and judged.intervals["bus"] == (0.0, 0.2)
    assert judged.alarms == ("look",) and judged.class_quality is quality


@pytest.mark.parametrize(
    ("calibrated", "used", "spoken_of"),
    [
        ("deeplab", "deeplab", True),
        ("deeplab", "hf:other", False),
        ("preds:val", "preds:test", True),
        ("preds:val", "deeplab", False),
        ("deeplab", "preds:val", False),
        ("deeplab", "DeepLab", False),
    ],
)
def test_a_promise_is_about_one_segmenter(calibrated: str, used: str, spoken_of: bool) -> None:
    assert replace(WHOLE, model=calibrated).speaks_of(used) == spoken_of


def test_a_promise_is_about_the_weights_that_it_saw() -> None:
    whole = replace(WHOLE, model="onnx:m.onnx", fingerprint="a1")
    assert whole.speaks_of("onnx:m.onnx", "a1")
    assert not whole.speaks_of("onnx:m.onnx", "b2") and not whole.speaks_of("onnx:m.onnx")


def test_a_promise_is_told_in_words() -> None:
    words = WHOLE.in_words()
    assert words["calibrated"] == "2026-01-31 on 120 images of folder:street, split val, from 7 groups"
    assert "90 % or more" in words["intervals"] and "promise of their own: rider" in words["intervals"]
    assert words["to review"] == (
        "images of predicted quality below 0.61; with confidence 97.5 %, at most 10 % of the others are bad "
        "(bad is a true quality below 0.5: 31 of the 120 calibration images; 3 of the 80 accepted)"
    )
    assert "above 0.375" in words["unknown pixels"] and "2 % of" in words["unknown pixels"]


def test_what_is_not_promised_is_not_told() -> None:
    words = NOTHING.in_words()
    assert words["calibrated"] == "2026-01-31 on 120 images"
    assert "rare" not in words["intervals"] and "unknown pixels" not in words
    assert words["to review"].startswith("every image; no threshold")


def test_levels_are_those_that_a_report_needs() -> None:
    assert WHOLE.levels() == {"floor": 0.5, "accept": 0.61}
    assert NOTHING.levels() == {"floor": 0.5}


def test_a_quality_that_is_undefined_is_not_compared() -> None:
    """Of an image in which M sees the background alone."""
    decision, reason = WHOLE.decide(math.nan)
    assert decision == "review" and "no class that counts" in reason and "nan" not in reason
