"""calibrate(monitor, data): what a monitor may promise, set on images that it has never seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.prepared import resized
from synthcp.monitor.anomaly_rule import ScoreCurve, fit_anomaly, score_curve
from synthcp.monitor.calibration import Calibration
from synthcp.monitor.intervals import fit_intervals
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.promise import Promise
from synthcp.monitor.review import fit_review
from synthcp.monitor.settings import load_settings, save_settings
from synthcp.records import Sample
from synthcp.report.rows import ResultRow, row_of
from synthcp.system.progress import Progress, silent
from synthcp.system.provenance import now
from synthcp.verbs.checks import require_match, require_unseen
from synthcp.verbs.given import AnyData, AnyMonitor, folder_of, open_data, open_monitor


@dataclass(frozen=True)
class Outcomes:
    """What the calibration images show.

    Attributes:
        rows: Predicted and true quality of each image.
        curves: Anomaly scores of each image's known pixels; empty for a monitor without anomaly maps.
        groups: Names of the groups that the images come from.
    """

    rows: list[ResultRow] = field(default_factory=list)
    curves: list[ScoreCurve] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)

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
    progress: Progress = silent,
) -> Calibration:
    """Set intervals and thresholds on labelled images, and store them in the monitor in place of older ones.

    Quality and flagged pixels are judged at the working size, as in an evaluation. An image without a known pixel is
    left out.

    Args:
        monitor: A monitor, or the folder of one.
        data: Labelled images with the classes of the monitor, none of which it was fitted on; or their SPEC, whose
            split is "val" unless it names another.
        promise: What shall hold.
        facts: Names of the "data" and their "split", for the record; a SPEC is told without it.
        progress: Called after every image.

    Raises:
        InputError: The monitor has seen an image, the images are too few for the promise, or the data does not fit the
            monitor.
    """
    promise = promise or Promise()
    monitor = open_monitor(monitor)
    folder, (dataset, named) = folder_of(monitor), open_data(data, "val")
    require_unseen(dataset, monitor)
    promise.check_images(len(dataset), flags_pixels=monitor.segmenter is not None)
    require_match(dataset, monitor)
    outcomes = _outcomes(dataset, monitor, progress)
    promise.check_images(len(outcomes.rows), flags_pixels=bool(outcomes.curves))
    spec, fingerprint = monitor.settings.model.identity
    calibration = fit_calibration(
        outcomes,
        promise,
        monitor.classes.names,
        data=", split ".join((named | dict(facts or {})).values()),
        model=spec,
        fingerprint=fingerprint,
    )
    save_settings(folder, replace(load_settings(folder), calibration=calibration))
    monitor.settings = replace(monitor.settings, calibration=calibration)
    return calibration


def _outcomes(dataset: Dataset, monitor: Monitor, progress: Progress) -> Outcomes:
    outcomes, ignore_index = Outcomes(), dataset.classes.ignore_index
    for number, original in enumerate(dataset, start=1):
        sample = resized(original, monitor.settings.scale.side)
        assert sample.label_map is not None  # require_match ran before
        assessment = monitor.assess(original.image, sample.id, size=sample.image.shape[1:])
        known = _known(sample, sample.label_map, ignore_index)
        if known.any():
            row = row_of(sample.id, sample.id, assessment, dataset.classes, label_map=sample.label_map)
            outcomes.rows.append(row)
            outcomes.groups.update(filter(None, [sample.group]))
            if assessment.anomaly_map is not None:
                outcomes.curves.append(score_curve(assessment.anomaly_map[known].numpy()))
        progress("calibrate", number, len(dataset), {})
    return outcomes


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
    return Calibration(
        promise=promise,
        created=now(),
        data=data,
        images=len(outcomes.rows),
        groups=len(outcomes.groups),
        intervals=fit_intervals(true, predicted, names, promise.alpha),
        review=fit_review(outcomes.column("true_mean_quality"), outcomes.column("mean_quality"), promise),
        anomaly=fit_anomaly(outcomes.curves, promise.area) if outcomes.curves else None,
        model=model,
        fingerprint=fingerprint,
    )
