"""How suspicious a disputed pixel is, learnt from mistakes that are drawn into copies of the given label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from synthcp.comparison.blend import logistic_regression
from synthcp.data.base import Dataset
from synthcp.errors import DataError
from synthcp.monitor.monitor import Monitor
from synthcp.system.failures import Costing, raising
from synthcp.system.progress import Progress, silent
from synthcp.system.runtime import generator_of
from synthcp.training.corruption import corrupt
from synthcp.verbs.audit.case import Case, case_of

Evidence = Callable[[Case], Sequence[Tensor]]
"""What speaks against the given label of every pixel: maps (H, W), larger = more likely an error."""

_RIDGE = 1e-5


def loss_and_misfit(case: Case) -> Sequence[Tensor]:
    """M's loss of the given label, and how much less its synthesis fits the image than the suggested label's."""
    return case.loss, case.misfit


@dataclass(frozen=True)
class Suspicion:
    """Log-odds of a label error, a weighted sum of the evidence.

    Attributes:
        evidence: Gives the maps.
        weights: One for each map; not negative.
        bias: Added to the sum.
    """

    evidence: Evidence
    weights: tuple[float, ...]
    bias: float

    def __call__(self, case: Case) -> Tensor:
        """Return the log-odds of every pixel, shape (H, W); they mean something in the disputed regions."""
        total = torch.full_like(case.loss, self.bias)
        for weight, evidence in zip(self.weights, self.evidence(case), strict=True):
            total = total + weight * evidence
        return total


def fit_suspicion(
    monitor: Monitor,
    dataset: Dataset,
    evidence: Evidence = loss_and_misfit,
    *,
    seed: int = 0,
    images: int = 40,
    pixels: int = 500,
    costing: Costing = raising,
    progress: Progress = silent,
) -> Suspicion:
    """Learn how much each kind of evidence counts, for this monitor and this data.

    Mistakes are drawn into copies of some label maps. Among the pixels that M then disputes, a logistic regression
    tells the drawn mistakes from M's own. Real label errors count as M's own there; they are few.

    Args:
        monitor: Whose M and G are asked.
        dataset: Labelled images.
        evidence: What is weighed.
        seed: Of the mistakes and of the choice of pixels.
        images: Number of label maps, at equal distances in the data set.
        pixels: Number taken from each.
        costing: Called with the id of an image; where it swallows what the image raises, the image is left out.
        progress: Called after every image.

    Raises:
        DataError: Not one of the images could be looked at.
    """
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(images, len(dataset))).round().astype(int)).tolist()
    parts = []
    for number, index in enumerate(chosen):
        with costing(dataset.ids[index]):
            sample = dataset[index]
            parts.append(_examples(case_of(monitor, sample), evidence, pixels, generator_of(seed, "audit", sample.id)))
        progress("learn from drawn mistakes", number + 1, len(chosen), {})
    if not parts:
        first = dataset.ids[chosen[0]]
        raise DataError(
            f"none of {len(chosen)} images from which an audit learns can be judged, {first} among them; score it"
        )
    inputs, mistaken = (torch.cat(part, dim=-1) for part in zip(*parts, strict=True))
    return _fitted(inputs, mistaken, evidence)


def _examples(case: Case, evidence: Evidence, pixels: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Evidence (K, N) of some pixels disputed after mistakes were drawn, and whether each is such a mistake (N,)."""
    classes, given = case.monitor.classes, case.given.cpu()
    mistaken = corrupt(given, len(classes), classes.ignore_index, generator).where(given != classes.ignore_index, given)
    case = replace(case, given=mistaken.to(case.given.device))
    disputed = torch.nonzero(case.disputed.cpu().flatten())[:, 0]
    chosen = disputed[torch.randperm(len(disputed), generator=generator)[:pixels]]
    maps = torch.stack([part.cpu().flatten()[chosen] for part in evidence(case)])
    return maps, (mistaken != given).flatten()[chosen]


def _fitted(inputs: Tensor, mistaken: Tensor, evidence: Evidence) -> Suspicion:
    """Evidence that would get a negative weight is left out: more of it never means less suspicion."""
    used, weights, bias = list(range(len(inputs))), list[float](), 0.0
    while used and len(mistaken):
        *weights, bias = logistic_regression([inputs[index] for index in used], mistaken.float(), _RIDGE)
        kept = [index for index, weight in zip(used, weights, strict=True) if weight >= 0]
        if kept == used:
            break
        used = kept
    found = dict(zip(used, weights, strict=False))
    return Suspicion(evidence, tuple(found.get(index, 0.0) for index in range(len(inputs))), bias)
