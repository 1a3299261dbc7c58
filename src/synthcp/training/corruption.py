"""Corrupted label maps: the weakest kind of imperfect prediction, for when there is no other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.records import Prediction
from synthcp.segmentation.base import certain
from synthcp.system.runtime import generator_of


@dataclass(frozen=True)
class CorruptedLabels:
    """Predicts, for an image of a labelled data set, its label map with mistakes drawn into it.

    Attributes:
        dataset: Labelled images.
        seed: Of the mistakes.
    """

    dataset: Dataset
    seed: int = 0

    def predict(self, sample_id: str, image: Tensor) -> Prediction:
        """Return the corrupted label map of one image (shapes: see Predictor)."""
        label_map = self.dataset[list(self.dataset.ids).index(sample_id)].label_map
        assert label_map is not None  # check_labels ran before training
        classes = self.dataset.classes
        generator = generator_of(self.seed, "corruption", sample_id)
        corrupted = corrupt(label_map, len(classes), classes.ignore_index, generator)
        return certain(corrupted[None].to(image.device), len(classes))


def corrupt(label_map: Tensor, classes: int, ignore_index: int, generator: torch.Generator) -> Tensor:
    """Draw a few mistakes of each kind into a label map (*S).

    A class takes from its neighbours, pieces of a class are taken for another, and what has no label gets a class.

    Args:
        label_map: y, int64.
        classes: L.
        ignore_index: Value without a class; its pixels get a class by chance.
        generator: On the CPU.
    """
    result = label_map.clone()
    result[result == ignore_index] = _draw(classes, generator)
    for _ in range(1 + _draw(3, generator)):
        result = _grown(result, _present(result, generator), 1 + _draw(max(2, min(result.shape) // 24), generator))
    for _ in range(1 + _draw(3, generator)):
        result = _confused(result, _present(result, generator), _draw(classes, generator), generator)
    return result


def _draw(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def _present(label_map: Tensor, generator: torch.Generator) -> int:
    """One of the classes that are there."""
    labels = torch.unique(label_map)
    return int(labels[_draw(len(labels), generator)])


def _grown(label_map: Tensor, label: int, radius: int) -> Tensor:
    """A class dilated over its neighbours; what was eroded of them is a mistake as well."""
    grown = label_map == label
    for axis in range(label_map.ndim):  # the same box as at once, at a fraction of the cost
        lines = grown.movedim(axis, -1).float()
        grown = F.max_pool1d(lines.flatten(0, -2)[:, None], 2 * radius + 1, stride=1, padding=radius).view_as(lines) > 0
        grown = grown.movedim(-1, axis)
    return label_map.masked_fill(grown, label)


def _confused(label_map: Tensor, label: int, other: int, generator: torch.Generator) -> Tensor:
    """A class taken for another inside a random box."""
    inside = torch.ones_like(label_map, dtype=torch.bool)
    for axis, side in enumerate(label_map.shape):
        extent = max(1, side // 4 + _draw(max(1, side // 2), generator))
        first = _draw(side - extent + 1, generator)
        position = torch.arange(side)
        within = (position >= first) & (position < first + extent)
        inside &= within.view([-1 if other_axis == axis else 1 for other_axis in range(label_map.ndim)])
    return label_map.masked_fill(inside & (label_map == label), other)
