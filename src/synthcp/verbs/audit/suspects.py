"""Suspects: the regions of a data set whose label is most likely wrong, worst first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from synthcp.data.base import Dataset
from synthcp.data.transforms import resize_labels
from synthcp.monitor.monitor import Monitor
from synthcp.system.failures import Costing, raising
from synthcp.system.progress import Progress, silent
from synthcp.verbs.audit.case import Case, case_of
from synthcp.verbs.audit.suspicion import Suspicion

Box = tuple[int, int, int, int]
"""First column and row inside, first column and row behind: x0, y0, x1, y1."""


@dataclass(frozen=True, eq=False)
class Suspect:
    """A region that is likely to carry a wrong label, in pixels of the image as it came.

    Attributes:
        id: Of the sample.
        score: Mean log-odds of a label error over the region, times the radius of the largest disc that fits into it
            at the working size; any real number, larger = more suspicious. It ranks; it is no probability.
        given: Name of the class that the label map gives.
        suggested: Name of the class that M says of most of the region.
        box: Around it.
        mask: Its pixels within the box, shape (y1 - y0, x1 - x0), bool.
    """

    id: str
    score: float
    given: str
    suggested: str
    box: Box
    mask: NDArray[np.bool_]

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(self.mask.sum())


@torch.no_grad()
def worst_suspects(
    monitor: Monitor,
    dataset: Dataset,
    suspicion: Suspicion,
    *,
    most: int,
    costing: Costing = raising,
    progress: Progress = silent,
) -> list[Suspect]:
    """Return the disputed regions of labelled images that are most suspicious, worst first.

    Args:
        monitor: Of images.
        dataset: Labelled images with the classes of the monitor.
        suspicion: How evidence is weighed.
        most: Number of suspects at most.
        costing: Called with the id of an image; where it swallows what the image raises, the image has no suspects.
        progress: Called after every image.
    """
    worst: list[Suspect] = []
    for index, sample_id in enumerate(dataset.ids):
        with costing(sample_id):
            sample = dataset[index]
            found = list(suspects_of(sample_id, case_of(monitor, sample), suspicion, tuple(sample.image.shape[1:])))
            worst = worst_first([*worst, *found])[:most]
        progress("audit", index + 1, len(dataset), {})
    return worst


def suspects_of(sample_id: str, case: Case, suspicion: Suspicion, size: tuple[int, ...]) -> Iterator[Suspect]:
    """Give every disputed region of one image as a suspect, at the size at which the image came."""
    if not case.regions:
        return
    scores, numbers = _scores(case, suspicion), _numbered(case, size)
    predicted = resize_labels(case.predicted.cpu(), size).numpy()
    names = case.monitor.classes.names
    for number, window in enumerate(ndimage.find_objects(numbers)):
        if window is None:  # too small for a pixel of a smaller image
            continue
        mask = numbers[window] == number + 1
        suggested = int(np.bincount(predicted[window][mask]).argmax())
        rows, columns = window
        box = (columns.start, rows.start, columns.stop, rows.stop)
        given = names[case.regions[number].given]
        yield Suspect(sample_id, scores[number], given, names[suggested], box, mask)


def worst_first(suspects: Iterable[Suspect]) -> list[Suspect]:
    """Rank suspects; of equal ones the earlier stays in front."""
    return sorted(suspects, key=lambda suspect: -suspect.score)


def _scores(case: Case, suspicion: Suspicion) -> list[float]:
    log_odds = suspicion(case).cpu().double().numpy()
    return [float(log_odds[region.window][region.mask].mean()) * region.radius for region in case.regions]


def _numbered(case: Case, size: tuple[int, ...]) -> NDArray[np.int64]:
    """The number, from 1, of the region that a pixel belongs to, shape `size`; 0 for none."""
    numbers = np.zeros(tuple(case.given.shape), np.int64)
    for number, region in enumerate(case.regions, start=1):
        numbers[region.window][region.mask] = number
    return resize_labels(torch.from_numpy(numbers), size).numpy()
