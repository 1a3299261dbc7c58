"""Classes held out as the anomaly, the way of BDD-Anomaly (Hendrycks et al., 2019), on any labelled data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.nifti import Grid
from synthcp.errors import DataError, InputError
from synthcp.records import Classes, Sample
from synthcp.system.spec import choices

Leave = Literal["images", "pixels"]


class HeldOutClasses(Dataset):
    """A labelled data set without some of its classes, which are the unknown objects of its test images.

    The classes leave the label set; those that remain are renumbered. In a training split, only the images that hold
    not one pixel of them are kept. In every other split their pixels carry the ignore index in the label map and are
    True in the anomaly mask. To tell the images apart every label map is read once, when the data set is made.

    Args:
        dataset: One split of a labelled data set.
        names: The classes to hold out.
        split: Name of that split; it is a training split when the name begins with "train".
        leave: What is left out of training: "images", or only the "pixels", which is the weaker variant: the nets see
            the objects without being told what they are.
        with_anomaly: Outside training, keep only images with so many pixels of the classes; 0 keeps all.

    Raises:
        InputError: An unknown name, a name that comes twice, or fewer than two classes would remain.
        DataError: A label map is missing, every training image holds one of the classes, or no other image one of them.
    """

    def __init__(
        self,
        dataset: Dataset,
        names: Sequence[str],
        split: str = "train",
        leave: Leave = "images",
        with_anomaly: int = 0,
    ) -> None:
        _check_names(names, dataset.classes.names)
        self.classes = _without(dataset.classes, names)
        self.preparation = dataset.preparation
        self.patch = dataset.patch
        self._dataset = dataset
        self._held = [dataset.classes.names.index(name) for name in names]
        self._training = split.startswith("train")
        self._indices = self._choose(leave, with_anomaly)
        self.ids = [dataset.ids[index] for index in self._indices]

    def __getitem__(self, index: int) -> Sample:
        """Return one sample; raises DataError when it has no label map."""
        sample = self._dataset[self._indices[index]]
        labels = _require_labels(sample.label_map, sample.id)
        mask = sample.anomaly_mask
        if not self._training:
            held = self._is_held(labels)
            mask = held if mask is None else held | mask
        return replace(sample, label_map=self._renumbered(labels), anomaly_mask=mask)

    @property
    def groups(self) -> list[str]:
        """The group of every sample, in order."""
        groups = self._dataset.groups
        return [groups[index] for index in self._indices]

    def label_map(self, index: int) -> Tensor:
        """Return the label map of one sample; raises DataError when it has none."""
        return self._renumbered(self._labels(self._indices[index]))

    def grid(self, index: int) -> Grid | None:
        """Return the grid of one sample."""
        return self._dataset.grid(self._indices[index])

    def _choose(self, leave: Leave, with_anomaly: int) -> list[int]:
        """Indices of the samples to keep."""
        everything = range(len(self._dataset))
        if self._training and leave == "pixels":
            return list(everything)
        pixels = torch.stack([self._count(index) for index in everything])  # (samples, held classes)
        kept = pixels.sum(dim=1) == 0 if self._training else pixels.sum(dim=1) >= with_anomaly
        if not self._training:
            self._require_anomalies(pixels, with_anomaly)
        elif not kept.any():
            raise DataError(f"every training image{self._like()} holds {self._named()}; hold out less or leave=pixels")
        return kept.nonzero().flatten().tolist()

    def _count(self, index: int) -> Tensor:
        """Pixels of each held-out class."""
        labels = self._labels(index)
        return torch.stack([(labels == held).sum() for held in self._held])

    def _require_anomalies(self, pixels: Tensor, with_anomaly: int) -> None:
        for held, count in zip(self._held, pixels.sum(dim=0).tolist(), strict=True):
            if count == 0:
                name = self._dataset.classes.names[held]
                raise DataError(f"no image{self._like()} holds {name}; hold out a class that the split has")
        most = int(pixels.sum(dim=1).max())
        if most < with_anomaly:
            raise DataError(
                f"no image{self._like()} holds {with_anomaly} pixels of {self._named()}; the most are {most}; lower "
                "with_anomaly"
            )

    def _labels(self, index: int) -> Tensor:
        return _require_labels(self._dataset.label_map(index), self._dataset.ids[index])

    def _is_held(self, labels: Tensor) -> Tensor:
        return torch.isin(labels, torch.tensor(self._held))

    def _renumbered(self, labels: Tensor) -> Tensor:
        """The label map in the remaining classes; a value that is no class stays, so that a check can find it."""
        renumbered = labels.clone()
        renumbered[self._is_held(labels)] = self.classes.ignore_index
        kept = [old for old in range(len(self._dataset.classes)) if old not in self._held]
        for new, old in enumerate(kept):
            renumbered[labels == old] = new
        return renumbered

    def _named(self) -> str:
        return " or ".join(self._dataset.classes.names[held] for held in self._held)

    def _like(self) -> str:
        """The split, by its first image."""
        return f" of the {len(self._dataset)} ({self._dataset.ids[0]} and on)"


def _check_names(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise InputError(f"no class {name!r} to hold out; {choices(name, known)}")
        if names.count(name) > 1:
            raise InputError(f"class {name} is to be held out twice; name it once")
    if len(known) - len(names) < 2:
        raise InputError(
            f"{len(names)} of {len(known)} classes are to be held out; a segmentation needs 2 or more; name fewer"
        )


def _without(classes: Classes, names: Sequence[str]) -> Classes:
    kept = [index for index, name in enumerate(classes.names) if name not in names]
    return replace(
        classes,
        names=tuple(classes.names[index] for index in kept),
        colors=tuple(classes.colors[index] for index in kept),
    )


def _require_labels(label_map: Tensor | None, sample_id: str) -> Tensor:
    if label_map is None:
        raise DataError(f"{sample_id} has no label map; classes can only be held out of labelled images")
    return label_map
