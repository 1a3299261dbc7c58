"""What a few images without labels tell of what is usual, for a monitor that no fit has told."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synthcp.comparison.anomaly_fusion import cues_of, fit_fusion
from synthcp.comparison.direct_prediction import DirectPrediction
from synthcp.comparison.evidence import Evidence
from synthcp.errors import InputError
from synthcp.monitor.fitted_comparator import FittedComparator
from synthcp.monitor.in_memory import AnyImage, image_in_memory
from synthcp.monitor.inputs import input_of, read_input
from synthcp.monitor.settings import Learnt
from synthcp.monitor.thresholds import fit_thresholds
from synthcp.segmentation.base import at_size

if TYPE_CHECKING:
    from synthcp.monitor.monitor import Monitor


def observed(monitor: Monitor, images: Iterable[AnyImage | str | os.PathLike[str]]) -> Learnt:
    """Return what a few images without labels tell of what is usual.

    Args:
        monitor: One that was not fitted, or without labels and without a drawing.
        images: As those of Monitor.assess; each is held at the working size.

    Raises:
        InputError: There is no image, or the monitor learnt what is usual when it was fitted.
        DataError: An image is not what the monitor takes.
    """
    settings, detector = monitor.settings, monitor.detector()
    if settings.variant.loss.teaches or not isinstance(detector, DirectPrediction):
        raise InputError("the monitor learnt what is usual when it was fitted; calibrate renews its thresholds")
    usually = [_evidence(monitor, detector, image) for image in images]
    if not usually:
        raise InputError("no image tells what is usual; observe one or more")
    fusion = None if monitor.segmenter is None else fit_fusion(_cues(monitor, usually))
    fitted = FittedComparator(monitor.network, settings.variant, Learnt(fusion=fusion))
    thresholds = fit_thresholds(fitted.comparator(monitor.segmenter, settings.t), usually, monitor.runtime)
    return Learnt(fusion=fusion, thresholds=thresholds)


@torch.no_grad()
def _cues(monitor: Monitor, usually: Iterable[Evidence]) -> Iterator[Tensor]:
    for evidence in usually:
        whole = evidence.mapped(monitor.runtime.send)
        yield cues_of(whole, monitor.network.judged(whole).surprise)


@torch.no_grad()
def _evidence(monitor: Monitor, detector: DirectPrediction, image: AnyImage | str | os.PathLike[str]) -> Evidence:
    """What F looks at of an image."""
    if isinstance(image, str | os.PathLike):
        item = input_of(Path(image), monitor.settings)
        x, name = read_input(item, monitor.settings)[0], item.id
    else:
        x, name = image_in_memory(image, monitor.settings), ""
    prediction, small = monitor.predict(x[None], name), monitor.small(x[None])
    with monitor.runtime.autocast():
        return detector.evidence(small, at_size(prediction, small.shape[2:])).mapped(Tensor.cpu)
