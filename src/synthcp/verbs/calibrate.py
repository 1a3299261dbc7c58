"""calibrate(monitor, data): what a monitor may promise, set on images that it has never seen."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcp.comparison.long_images import working_side
from synthcp.data.base import Dataset
from synthcp.data.working_size import resized
from synthcp.monitor.anomaly_rule import AnomalyRule, ScoreCurve, fit_anomaly, score_curve
from synthcp.monitor.calibration import Calibration
from synthcp.monitor.intervals import fit_intervals
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.promise import Promise
from synthcp.monitor.review import fit_review
from synthcp.monitor.settings import load_settings, save_settings
from synthcp.records import Sample
from synthcp.report.rows import ResultRow, row_from_json, row_of, row_to_json
from synthcp.system.failures import LOG, Costing, Failures
from synthcp.system.files import writing
from synthcp.system.kept import Done, Work, at_work
from synthcp.system.output_folder import listing
from synthcp.system.progress import Progress, silent
from synthcp.system.provenance import now
from synthcp.system.run_folder import SETTINGS
from synthcp.verbs.checks import require_match, require_some, require_unseen
from synthcp.verbs.facts import digest_of, identity
from synthcp.verbs.given import AnyData, AnyMonitor, folder_of, open_data, open_monitor
from synthcp.verbs.said import digest_of_sample


@dataclass(frozen=True)
class Outcomes:
    """What the calibration images show.

    Attributes:
        rows: Predicted and true quality of each image.
        curves: Anomaly scores of each image's known pixels; empty for a monitor without anomaly maps.
        wholes: The same of all its pixels, as `score` will see those of new images.
        groups: Names of the groups that the images come from.
    """

    rows: list[ResultRow] = field(default_factory=list)
    curves: list[ScoreCurve] = field(default_factory=list)
    wholes: list[ScoreCurve] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)

    def add(self, outcome: Outcome) -> None:
        """Count one more image."""
        self.rows.append(outcome.row)
        self.groups.update(filter(None, [outcome.group]))
        self.curves.extend(filter(None, [outcome.curve]))
        self.wholes.extend(filter(None, [outcome.whole]))

    def column(self, name: str) -> NDArray[np.float64]:
        """One number of each image, shape (images,), or one of each of its classes, shape (images, classes)."""
        values = [getattr(row, name) for row in self.rows]
        return np.array([list(value.values()) if isinstance(value, dict) else value for value in values])


def calibrate(
    monitor: AnyMonitor,
    data: AnyData,
    *,
    promise: Promise | None = None,
    facts: Mapping[str, str] | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> Calibration:
    """Set intervals and thresholds on labelled images, and store them in the monitor in place of older ones.

    Quality and flagged pixels are judged at the working size, as in an evaluation. An image without a known pixel is
    left out, and so is one that cannot be judged, of which the calibration tells.

    Args:
        monitor: A monitor, or the folder of one.
        data: Labelled images with the classes of the monitor, none of which it was fitted on; or their SPEC, whose
            split is "val" unless it names another.
        promise: What shall hold.
        facts: Names of the "data" and their "split", for the record; a SPEC is told without it.
        resume: Go on from what the same run has done, if it was interrupted.
        progress: Called after every image.

    Raises:
        InputError: The monitor has seen an image, the images are too few for the promise, or the data does not fit the
            monitor, not one image can be judged, or another run is at work on the monitor.
    """
    promise = promise or Promise()
    monitor = open_monitor(monitor)
    folder, (dataset, named) = folder_of(monitor), open_data(data, "val")
    facts = named | dict(facts or {})
    require_unseen(dataset, monitor)
    promise.check_images(len(dataset), flags_pixels=monitor.segmenter is not None)
    require_match(dataset, monitor)
    asked = {"verb": "calibrate", "promise": str(promise), "data": digest_of(*dataset.ids, *facts.values())}
    with at_work(folder, asked | identity(monitor), resume) as work, listing(folder):
        failures = Failures(folder / LOG)
        outcomes = _outcomes(dataset, monitor, work, failures.costing, progress)
        require_some(failures, len(dataset), "judged")
        promise.check_images(len(outcomes.rows), flags_pixels=bool(outcomes.curves))
        spec, fingerprint = monitor.settings.model.identity
        calibration = fit_calibration(
            outcomes,
            promise,
            monitor.classes.names,
            data=", split ".join(facts.values()),
            model=spec,
            fingerprint=fingerprint,
        )
        calibration = replace(calibration, failed=failures.told(len(dataset)))
        save_settings(work.beside, replace(load_settings(folder), calibration=calibration))
        with writing(folder / SETTINGS), work.ending():
            os.replace(work.beside / SETTINGS, folder / SETTINGS)
    monitor.settings = replace(monitor.settings, calibration=calibration)
    return calibration


class Outcome(NamedTuple):
    """What one calibration image shows."""

    row: ResultRow
    curve: ScoreCurve | None
    whole: ScoreCurve | None
    group: str


def _outcomes(dataset: Dataset, monitor: Monitor, work: Work, costing: Costing, progress: Progress) -> Outcomes:
    outcomes = Outcomes()
    for index, sample_id in enumerate(dataset.ids):
        outcome: Outcome | None = None
        with costing(sample_id):
            original = dataset[index]
            digest = digest_of_sample(original)
            done = work.kept(index, digest, sample_id)
            outcome = _outcome(original, dataset, monitor) if done is None else _outcome_of(done)
            if done is None:
                work.keep(index, _done(digest, outcome))
        if outcome is not None:
            outcomes.add(outcome)
        progress("calibrate", index + 1, len(dataset), {})
    return outcomes


def _outcome(original: Sample, dataset: Dataset, monitor: Monitor) -> Outcome | None:
    """What an image shows; None when no pixel of it is known."""
    sample = resized(original, working_side(original.image.shape[1:], monitor.settings.scale.side))
    assert sample.label_map is not None  # require_match ran before
    known = _known(sample, sample.label_map, dataset.classes.ignore_index)
    if not known.any():
        return None
    assessment = monitor.assess(original.image, sample.id, size=sample.image.shape[1:])
    row = row_of(sample.id, sample.id, assessment, dataset.classes, label_map=sample.label_map)
    scores = assessment.anomaly_map
    if scores is None:
        return Outcome(row, None, None, sample.group)
    return Outcome(row, score_curve(scores[known].numpy()), score_curve(scores.flatten().numpy()), sample.group)


def _done(digest: str, outcome: Outcome | None) -> Done:
    if outcome is None:
        return Done(digest, "", {})
    text, tensors = json.dumps([row_to_json(outcome.row), outcome.group]), dict[str, torch.Tensor]()
    for name, curve in (("known", outcome.curve), ("whole", outcome.whole)):
        if curve is not None:
            tensors[f"{name} keys"] = torch.from_numpy(curve.keys.view(np.int32))
            tensors[f"{name} shares"] = torch.from_numpy(curve.shares)
    return Done(digest, text, tensors)


def _outcome_of(done: Done) -> Outcome | None:
    if not done.text:
        return None
    row, group = json.loads(done.text)
    return Outcome(row_from_json(row), _curve_of(done, "known"), _curve_of(done, "whole"), group)


def _curve_of(done: Done, name: str) -> ScoreCurve | None:
    if f"{name} keys" not in done.tensors:
        return None
    return ScoreCurve(done.tensors[f"{name} keys"].numpy().view(np.uint32), done.tensors[f"{name} shares"].numpy())


def _known(sample: Sample, label_map: Tensor, ignore_index: int) -> Tensor:
    """Where the pixel has a class and is no anomaly, shape (*S), bool."""
    known = label_map != ignore_index
    return known if sample.anomaly_mask is None else known & ~sample.anomaly_mask


def fit_calibration(
    outcomes: Outcomes,
    promise: Promise,
    names: tuple[str, ...],
    *,
    data: str = "",
    model: str = "",
    fingerprint: str = "",
) -> Calibration:
    """Return the numbers that keep a promise.

    Args:
        outcomes: Of the calibration images.
        promise: What shall hold.
        names: Of the classes.
        data: Name of the data, for the record.
        model: SPEC of M.
        fingerprint: Of M's weights.
    """
    true, predicted = outcomes.column("true_class_quality"), outcomes.column("class_quality")
    anomaly = fit_anomaly(outcomes.curves, promise.area) if outcomes.curves else None
    return Calibration(
        promise=promise,
        created=now(),
        data=data,
        images=len(outcomes.rows),
        groups=len(outcomes.groups),
        intervals=fit_intervals(true, predicted, names, promise.alpha),
        review=fit_review(outcomes.column("true_mean_quality"), outcomes.column("mean_quality"), promise),
        anomaly=anomaly,
        model=model,
        fingerprint=fingerprint,
        usual=_usual(outcomes, anomaly),
    )


def _usual(outcomes: Outcomes, rule: AnomalyRule | None) -> dict[str, tuple[float, ...]]:
    """What drift is measured against; an undefined quality is left out."""
    qualities = outcomes.column("mean_quality")
    usual = {"error_share": outcomes.column("error_share"), "mean_quality": qualities[~np.isnan(qualities)]}
    if rule is not None:
        usual["anomaly_share"] = np.array([curve.flagged(rule.threshold) for curve in outcomes.wholes])
    return {name: tuple(values.tolist()) for name, values in usual.items()}
