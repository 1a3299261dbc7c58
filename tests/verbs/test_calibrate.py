from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from synthcp.data.drawn.scenes import CLASSES, Scenes, ScenesConfig
from synthcp.data.working_size import resized
from synthcp.errors import DataError, InputError
from synthcp.monitor.intervals import interval_radius
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.promise import Promise
from synthcp.monitor.review import fit_review
from synthcp.monitor.settings import load_settings
from synthcp.report.rows import ResultRow, read_rows
from synthcp.verbs.calibrate import Outcomes, calibrate, fit_calibration
from synthcp.verbs.evaluate import evaluate
from synthcp.verbs.score import score

COUNT = 14
EASY = Promise(alpha=0.3, delta=0.2, floor=0.05, area=0.1)


class Masked(Scenes):
    """Scenes of which one shows nothing that is known, and another has an anomaly in its left half."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        if index == 3:
            return replace(sample, label_map=torch.full_like(sample.label_map, self.classes.ignore_index))
        left = torch.zeros_like(sample.label_map, dtype=torch.bool)
        left[:, :32] = index == 5
        return replace(sample, anomaly_mask=left)


@pytest.fixture(scope="module")
def masked():
    return Masked(ScenesConfig(count=COUNT + 1, height=48, width=64, split="val"))


@pytest.fixture(scope="module")
def calibrated(run_folder, masked, tmp_path_factory):
    """A copy of the tiny run, calibrated, and what calibrate returned."""
    run = tmp_path_factory.mktemp("calibrated") / "run"
    shutil.copytree(run_folder, run)
    calls = []
    made = calibrate(
        run, masked, promise=EASY, facts={"data": "some scenes"}, progress=lambda *call: calls.append(call)
    )
    assert calls == [("calibrate", step, COUNT + 1, {}) for step in range(1, COUNT + 2)]
    return run, made


@pytest.fixture(scope="module")
def seen(monitor, masked):
    """(sample, assessment) of the images that count, at the working size, before there was a calibration."""
    samples = [(original, resized(original, monitor.settings.scale.side)) for original in masked]
    return [
        (sample, monitor.assess(original.image, size=sample.image.shape[1:]))
        for index, (original, sample) in enumerate(samples)
        if index != 3
    ]


def iou_by_class(sample, assessment):
    """True IoU of the classes that the ground truth shows, by scikit-learn."""
    known = sample.label_map != CLASSES.ignore_index
    true, predicted = sample.label_map[known].numpy(), assessment.label_map[known].numpy()
    return {
        name: jaccard_score(true == label, predicted == label)
        for label, name in enumerate(CLASSES.names)
        if (true == label).any()
    }


def test_what_is_returned_is_stored_and_all_else_stays_as_it_was(calibrated, run_folder):
    run, calibration = calibrated
    assert load_settings(run) == replace(load_settings(run_folder), calibration=calibration)
    assert {path.name for path in run.iterdir()} == {path.name for path in run_folder.iterdir()}
    assert Monitor.load(run, "cpu").settings.calibration == calibration
    assert (calibration.promise, calibration.data, calibration.images) == (EASY, "some scenes", COUNT)
    assert calibration.groups == len({sample.group for sample in Scenes(ScenesConfig(count=COUNT + 1, split="val"))})


def test_intervals_are_those_of_the_images(calibrated, seen):
    names = CLASSES.names
    residuals = np.full((COUNT, len(names)), np.nan)
    for line, (sample, assessment) in zip(residuals, seen, strict=True):
        for name, true in iou_by_class(sample, assessment).items():
            line[names.index(name)] = abs(true - assessment.class_quality[name])
    assert calibrated[1].intervals.radii["road"] == pytest.approx(interval_radius(residuals[:, [2]], 0.3))
    assert calibrated[1].intervals.radii["sky"] == pytest.approx(interval_radius(residuals[:, [0]], 0.3))
    assert calibrated[1].intervals.radii["road"] != calibrated[1].intervals.radii["sky"]


def test_review_is_decided_by_predicted_and_true_quality_of_the_image(calibrated, seen):
    true = np.array([np.mean(list(iou_by_class(*pair).values())) for pair in seen])
    predicted = np.array([np.mean([a.class_quality[name] for name in a.judged]) for _, a in seen])
    assert calibrated[1].review == fit_review(true, predicted, EASY)


def test_the_area_is_promised_of_known_pixels(calibrated, seen):
    threshold = calibrated[1].anomaly.threshold

    def bound(level):
        shares = [
            (a.anomaly_map >= level)[(s.label_map != CLASSES.ignore_index) & ~s.anomaly_mask].float().mean()
            for s, a in seen
        ]
        return (float(sum(shares)) + 1) / (COUNT + 1)

    assert bound(threshold) <= 0.1 < bound(threshold * (1 - 2.0**-8))


def test_a_second_calibration_replaces_the_first(calibrated, masked, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(calibrated[0], run)
    opened = Monitor.load(run, "cpu")
    second = calibrate(opened, masked, promise=replace(EASY, alpha=0.4))
    assert load_settings(run).calibration == opened.settings.calibration == second != calibrated[1]


def test_without_anomaly_maps_no_area_is_promised():
    rows = [
        ResultRow(str(i), "", mean_quality=0.5, class_quality={"a": 0.5}, true_class_quality={"a": 0.4})
        for i in range(12)
    ]
    calibration = fit_calibration(Outcomes(rows), EASY, ("a",))
    assert calibration.anomaly is None and calibration.groups == 0
    assert calibration.intervals.radii == {"a": pytest.approx(0.1)} and calibration.review.accepted == 12


def test_images_of_the_fit_are_refused(run_folder):
    train = Scenes(ScenesConfig(count=40, height=48, width=64))
    with pytest.raises(InputError, match=r"the fit saw 12 of the 40 calibration images, such as train-0000; .*split"):
        calibrate(run_folder, train, promise=EASY)


def test_too_few_images_are_refused_before_they_are_seen(run_folder, masked):
    with pytest.raises(InputError, match="15 calibration images are too few: a false-alarm area of 0.01 needs 99"):
        calibrate(run_folder, masked, progress=lambda *_: pytest.fail("an image was looked at"))


def test_images_that_show_nothing_known_do_not_count(run_folder, masked):
    with pytest.raises(InputError, match=r"14 calibration images are too few: .* needs 15"):
        calibrate(run_folder, masked, promise=Promise(alpha=0.1, delta=0.21, area=0.1))
    assert load_settings(run_folder).calibration is None


def test_data_of_another_kind_is_refused(run_folder, masked):
    renamed = Scenes(masked.config)
    renamed.classes = replace(CLASSES, names=CLASSES.names[::-1])
    with pytest.raises(InputError, match="match them"):
        calibrate(run_folder, renamed, promise=EASY)

    class Unlabelled(Scenes):
        def __getitem__(self, index):
            return replace(super().__getitem__(index), label_map=None)

    with pytest.raises(DataError, match="has no label map"):
        calibrate(run_folder, Unlabelled(masked.config), promise=EASY)


# -- what a calibrated monitor says


def with_review(run: Path, folder: Path, threshold: float | None) -> Path:
    """The calibrated run with another threshold."""
    shutil.copytree(run, folder)
    record = json.loads((folder / "monitor.json").read_text())
    record["calibration"]["review"]["threshold"] = threshold
    (folder / "monitor.json").write_text(json.dumps(record))
    return folder


def test_scores_follow_the_rule_exactly(calibrated, monitor, images, tmp_path):
    qualities = sorted(row.mean_quality for row in score(calibrated[0], images, tmp_path / "first"))
    run = with_review(calibrated[0], tmp_path / "run", qualities[2])
    score(run, images, tmp_path / "out")
    rows = read_rows(tmp_path / "out")
    assert sorted(row.decision for row in rows) == ["accept"] * 3 + ["review"] * 2
    for row in rows:
        assessment = monitor.assess(images / f"{row.id}.png")
        assert (row.decision == "accept") == (assessment.mean_quality >= qualities[2])
        assert len(row.reasons) == 1 and row.alarms == Monitor.load(run, "cpu").assess(images / f"{row.id}.png").alarms
        low, high = row.intervals["road"]
        radius = calibrated[1].intervals.radii["road"]
        assert low == pytest.approx(max(0, assessment.class_quality["road"] - radius), abs=1e-5)
        assert high == pytest.approx(min(1, assessment.class_quality["road"] + radius), abs=1e-5)


def test_when_nothing_passed_all_goes_to_review_but_what_fails(calibrated, images, bad, tmp_path):
    rows = score(with_review(calibrated[0], tmp_path / "run", None), [images, bad], tmp_path / "out")
    assert {row.decision for row in rows if row.id != "bad"} == {"review"} and "no threshold" in rows[-1].reasons[0]
    assert [(row.status, row.decision) for row in rows if row.id == "bad"] == [("error", "")]


def test_pixels_are_flagged_by_the_calibrated_threshold(calibrated, monitor, images, tmp_path):
    rule = calibrated[1].anomaly
    assert load_settings(calibrated[0]).thresholds == replace(
        monitor.settings.learnt.thresholds, anomaly=rule.threshold, anomaly_share=rule.usual_share
    )
    for row in score(calibrated[0], images, tmp_path / "out"):
        share = float((monitor.assess(images / f"{row.id}.png").anomaly_map > rule.threshold).float().mean())
        assert row.anomaly_share == pytest.approx(share)
        assert any("look unknown" in alarm for alarm in row.alarms) == (share > rule.usual_share)


def test_an_object_in_the_place_of_the_stored_segmenter_has_a_promise_of_its_own(calibrated, masked, monitor, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(calibrated[0], run)
    calibration = calibrate(Monitor.load(run, "cpu", model=monitor.segmenter), masked, promise=EASY)
    assert (calibrated[1].model, calibration.model) == ("deeplab", "DeepLab")  # the stored M, and the object
    assert load_settings(run).calibration == calibration
    assert load_settings(run).model == monitor.settings.model  # the stored one stays
    assert Monitor.load(run, "cpu", model=monitor.segmenter).settings.calibration == calibration
    assert Monitor.load(run, "cpu").settings.calibration is None
    other = copy.deepcopy(monitor.segmenter)
    with torch.no_grad():
        next(other.parameters()).mul_(1.5)
    assert Monitor.load(run, "cpu", model=other).settings.calibration is None


def test_an_evaluation_says_what_became_of_the_promise(calibrated, scenes, tmp_path):
    evaluate(calibrated[0], scenes, tmp_path, detectors=["synthcp"])
    rows, page = read_rows(tmp_path), (tmp_path / "report.html").read_text()
    accepted = [row for row in rows if row.decision == "accept"]
    bad = sum(row.true_mean_quality < EASY.floor for row in accepted)
    assert f"Accepted: {len(accepted)} of 5 images; bad, with a true quality below 0.05: {bad} of these" in page
    assert "promise, to review" in page and "some scenes" in page
