"""audit(monitor, dataset) -> suspects: the regions of a data set whose label is most likely wrong, worst first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from synthcp.data.base import Dataset
from synthcp.data.check import require_labels
from synthcp.data.transforms import resize_labels
from synthcp.errors import InputError
from synthcp.monitor.monitor import Monitor
from synthcp.system.progress import Progress, silent
from synthcp.verbs.audit.case import Case, case_of
from synthcp.verbs.audit.suspicion import Suspicion, fit_suspicion

Box = tuple[int, int, int, int]
"""First column and row inside, first column and row behind: x0, y0, x1, y1."""


@dataclass(frozen=True)
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
def audit(
    monitor: Monitor,
    dataset: Dataset,
    most: int = 200,
    suspicion: Suspicion | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Suspect]:
    """Rank the regions of a labelled data set by how likely their label is wrong, worst first.

    A label is suspect where M says another class, the more so the less M expects the given one and the worse the
    drawing of the given label fits the image, compared with the drawing of M's. Ignored pixels are never suspects.

    Args:
        monitor: A fitted one, of images.
        dataset: Labelled images with the classes of the monitor.
        most: Number of suspects to return at most.
        suspicion: How evidence is weighed; None learns it from mistakes drawn into copies of some label maps.
        seed: Of these mistakes.
        progress: Called after every image of every stage.

    Raises:
        InputError: The monitor is one of volumes.
        DataError: The samples have no labels, or one cannot be read.
    """
    if monitor.settings.spatial_dims != 2:
        raise InputError("audit looks at images, and this monitor was fitted on volumes; give a monitor of images")
    require_labels(dataset)
    suspicion = suspicion or fit_suspicion(monitor, dataset, seed=seed, progress=progress)
    worst: list[Suspect] = []
    for number, sample in enumerate(dataset):
        found = suspects_of(sample.id, case_of(monitor, sample), suspicion, tuple(sample.image.shape[1:]))
        worst = worst_first([*worst, *found])[:most]
        progress("audit", number + 1, len(dataset), {})
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
