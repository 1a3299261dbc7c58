"""Provoked failures: M trained again without some of its classes, which are then unknown to it on images set aside.

No anomaly is needed to learn what one looks like: a known class that a model was never taught is one, for that model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.derived import Derived
from synthcp.data.subset import Subset
from synthcp.fitting.context import Context
from synthcp.fitting.fit_once import fitted_once
from synthcp.monitor.networks import build_segmenter
from synthcp.records import Sample
from synthcp.segmentation.base import Segmenter
from synthcp.system.runtime import seed_of
from synthcp.training.imperfect_predictions import assign_folds
from synthcp.training.segmentation import SegmentationTraining

FOLDER = "provoked"
RARE = 0.6
"""Share of the classes, the rarest, that are hidden in turn: objects are rare, and few models lack all of the sky."""


@dataclass(frozen=True)
class Provoked:
    """An M that lacks some classes.

    Attributes:
        segmenter: M; it never predicts the hidden classes.
        hidden: Indices of the classes that it was not taught.
        aside: Indices of the images that it was not trained on.
    """

    segmenter: Segmenter
    hidden: tuple[int, ...]
    aside: tuple[int, ...]


class Hidden(Derived):
    """A data set in which some classes carry the ignore index."""

    def __init__(self, dataset: Dataset, hidden: Sequence[int]) -> None:
        super().__init__(dataset)
        self._hidden = torch.tensor(hidden)

    def __getitem__(self, index: int) -> Sample:
        """Return one sample."""
        sample = super().__getitem__(index)
        return replace(sample, label_map=self._without(sample.label_map))

    def label_map(self, index: int) -> Tensor:
        """Return the label map of one sample."""
        return self._without(super().label_map(index))

    def _without(self, label_map: Tensor | None) -> Tensor:
        assert label_map is not None  # check_labels ran before
        return label_map.masked_fill(torch.isin(label_map, self._hidden), self.classes.ignore_index)


def deal_classes(pixels: Sequence[int], folds: int) -> list[tuple[int, ...]]:
    """Return the classes that each fold hides: the rarest ones, dealt in turn.

    Args:
        pixels: Of each class.
        folds: How many there are.
    """
    rarest = sorted((label for label, count in enumerate(pixels) if count), key=lambda label: pixels[label])
    rarest = rarest[: max(1, round(RARE * len(rarest)))]
    return [tuple(sorted(rarest[fold::folds])) for fold in range(folds)]


def provoke(context: Context) -> list[Provoked]:
    """Train one M for each fold, without the fold's images and without the classes that it hides."""
    groups, folds = context.dataset.groups, context.settings.scale.folds
    fold_of = assign_folds(groups, folds, "dealt")
    provoked = []
    for fold, hidden in enumerate(deal_classes(class_pixels(context.dataset), folds)):
        if hidden:
            aside = tuple(index for index, other in enumerate(fold_of) if other == fold)
            provoked.append(Provoked(_fitted(context, fold, hidden, aside), hidden, aside))
    return provoked


def class_pixels(dataset: Dataset) -> list[int]:
    """Count the pixels of every class."""
    counts = torch.zeros(len(dataset.classes), dtype=torch.int64)
    for sample in dataset:
        assert sample.label_map is not None  # check_labels ran before
        known = sample.label_map[sample.label_map != dataset.classes.ignore_index]
        counts += torch.bincount(known, minlength=len(counts))
    return counts.tolist()


def _fitted(context: Context, fold: int, hidden: Sequence[int], aside: Sequence[int]) -> Segmenter:
    """M of one fold, trained as long as a fold's M is, or read from disk."""
    name, scale = f"{FOLDER}/fold{fold}", context.settings.scale
    seen = Hidden(Subset(context.dataset, sorted(set(range(len(context.dataset))) - set(aside))), hidden)
    config = replace(scale.segmentation, steps=max(1, round(scale.segmentation.steps * scale.fold_steps)))
    return fitted_once(
        context,
        name,
        lambda: build_segmenter(context.settings),
        lambda segmenter: SegmentationTraining(segmenter, seen, config, context.runtime, seed_of(context.seed, name)),
        config.steps,
    )
