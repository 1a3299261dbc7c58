"""Component metrics of SegmentMeIfYouCan: are whole objects found, whatever their size?

Source: Chan et al., "SegmentMeIfYouCan: A Benchmark for Anomaly Segmentation", NeurIPS 2021 Datasets and Benchmarks,
and its public evaluation, whose sizes and comparisons are used here. A component is a connected set of pixels, where
neighbours share at least a corner (8 neighbours in 2D, 26 in 3D).

The pixels with a score of at least the threshold are predicted anomalous; void pixels are in no component. Predicted
components below a minimal size are dropped. True components below a minimal size become void, together with what is
predicted there. With k a true component, K the predicted components that touch it, and A the pixels of K that lie on
other true components:

    sIoU(k) = |k ∩ K| / |(k ∪ K) minus A|     PPV(k') = |k' on any true component| / |k'| of a predicted component k'

At a level τ, true components with sIoU >= τ are true positives (TP), the others false negatives (FN), and predicted
components with PPV < τ are false positives (FP); F1 = 2 TP / (2 TP + FN + FP). F1* is its mean over LEVELS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]
Labels = NDArray[np.integer[Any]]

LEVELS = np.arange(5, 16) / 20
"""τ = 0.25, 0.3 ... 0.75, each the double nearest to its fraction, so that a component at a level reaches it."""


@dataclass(frozen=True)
class Track:
    """The smallest components that count, in pixels.

    Attributes:
        min_predicted: Smaller predicted components are dropped.
        min_true: Smaller true components are void.
    """

    min_predicted: int
    min_true: int


ANOMALY_TRACK = Track(min_predicted=500, min_true=100)
OBSTACLE_TRACK = Track(min_predicted=50, min_true=10)


@dataclass(frozen=True)
class ComponentScores:
    """How well the components are found; scores are in [0, 1], NaN where there is no component to average over.

    Attributes:
        siou: Mean adjusted intersection over union of the true components.
        ppv: Mean precision (positive predictive value) of the predicted components.
        f1: F1*, the mean of `f1_at`.
        threshold: Pixels with at least this score were predicted anomalous.
        true_components: How many true components count.
        predicted_components: How many predicted components count.
        f1_at: F1 at each of LEVELS.
        true_positives: True components found, at each of LEVELS.
        false_negatives: True components missed, at each of LEVELS.
        false_positives: Predicted components that are none, at each of LEVELS.
    """

    siou: float
    ppv: float
    f1: float
    threshold: float
    true_components: int
    predicted_components: int
    f1_at: tuple[float, ...]
    true_positives: tuple[int, ...]
    false_negatives: tuple[int, ...]
    false_positives: tuple[int, ...]


class StreamingComponents:
    """Component scores of any number of images at one threshold; keeps one number for each component."""

    def __init__(self, threshold: float, track: Track = ANOMALY_TRACK) -> None:
        self.threshold = threshold
        self.track = track
        self._siou: list[Floats] = [np.empty(0)]
        self._ppv: list[Floats] = [np.empty(0)]

    def update(self, scores: Floats, anomaly: Mask, judged: Mask) -> None:
        """Match the components of one more image, shape (*S) each; scores may be NaN where nothing is judged."""
        siou, ppv = component_matches(scores >= self.threshold, anomaly, judged, self.track)
        self._siou.append(siou)
        self._ppv.append(ppv)

    def merge(self, other: StreamingComponents) -> None:
        """Take in all the components that another one, of the same threshold and track, has matched."""
        self._siou += other._siou
        self._ppv += other._ppv

    def compute(self) -> ComponentScores:
        """Scores of all components so far."""
        siou, ppv = np.sort(np.concatenate(self._siou)), np.sort(np.concatenate(self._ppv))
        missed = np.searchsorted(siou, LEVELS)
        false = np.searchsorted(ppv, LEVELS)
        found = len(siou) - missed
        f1 = [_f1(*counts) for counts in zip(found.tolist(), missed.tolist(), false.tolist(), strict=True)]
        return ComponentScores(
            siou=_mean(siou.tolist()),
            ppv=_mean(ppv.tolist()),
            f1=_mean(f1),
            threshold=self.threshold,
            true_components=len(siou),
            predicted_components=len(ppv),
            f1_at=tuple(f1),
            true_positives=tuple(found.tolist()),
            false_negatives=tuple(missed.tolist()),
            false_positives=tuple(false.tolist()),
        )


def component_matches(predicted: Mask, anomaly: Mask, judged: Mask, track: Track) -> tuple[Floats, Floats]:
    """The sIoU of every true and the PPV of every predicted component of one image, shape (components,) each."""
    true, found = _components(anomaly & judged), _without_small(_components(predicted & judged), track.min_predicted)
    counted = _without_small(true, track.min_true)
    found[true != counted] = 0  # what is predicted on a void component
    true_sizes, found_sizes = np.bincount(counted.ravel()), np.bincount(found.ravel())

    touching = (counted > 0) & (found > 0)
    pairs = counted[touching].astype(np.int64) * len(found_sizes) + found[touching]
    pairs, shared = np.unique(pairs, return_counts=True)
    of_true, of_found = np.divmod(pairs, len(found_sizes))
    on_any = np.bincount(of_found, shared, len(found_sizes))
    on_this = np.bincount(of_true, shared, len(true_sizes))
    not_on_others = found_sizes[of_found] - (on_any[of_found] - shared)
    union = true_sizes + np.bincount(of_true, not_on_others, len(true_sizes)) - on_this

    is_true, is_found = np.flatnonzero(true_sizes[1:]) + 1, np.flatnonzero(found_sizes[1:]) + 1
    return on_this[is_true] / union[is_true], on_any[is_found] / found_sizes[is_found]


def _components(mask: Mask) -> Labels:
    """Number the components of a mask from 1, 0 elsewhere; shape (*S)."""
    labels: Labels = ndimage.label(mask, np.ones((3,) * mask.ndim))[0]
    return labels


def _without_small(labels: Labels, minimum: int) -> Labels:
    kept: Labels = np.where(np.bincount(labels.ravel()) >= minimum, np.arange(labels.max(initial=0) + 1), 0)
    kept[0] = 0
    return kept[labels]


def _f1(found: int, missed: int, false: int) -> float:
    counted = 2 * found + missed + false
    return 2 * found / counted if counted else math.nan


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
