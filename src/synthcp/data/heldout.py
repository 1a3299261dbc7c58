"""Classes held out as the anomaly, the way of BDD-Anomaly (Hendrycks et al., 2019), on any labelled data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from synthcp.data.base import Dataset, Source
from synthcp.data.derived import Derived
from synthcp.errors import DataError, InputError
from synthcp.records import Classes, Sample
from synthcp.system.spec import choice, choices, name_list, whole_number

Leave = Literal["images", "pixels"]
EXAMPLE = "heldout:camvid:ROOT?classes=Bicyclist"


class HeldOutClasses(Derived):
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
        self._held = [dataset.classes.names.index(name) for name in names]
        self._training = split.startswith("train")
        self.dataset = dataset  # which is read to choose its samples
        super().__init__(dataset, self._choose(leave, with_anomaly))
        self.classes = _without(dataset.classes, names)

    def __getitem__(self, index: int) -> Sample:
        """Return one sample; raises DataError when it has no label map."""
        sample = super().__getitem__(index)
        labels = _require_labels(sample.label_map, sample.id)
        mask = sample.anomaly_mask
        if not self._training:
            held = self._is_held(labels)
            mask = held if mask is None else held | mask
        return replace(sample, label_map=self._renumbered(labels), anomaly_mask=mask)

    def label_map(self, index: int) -> Tensor:
        """Return the label map of one sample; raises DataError when it has none."""
        return self._renumbered(_require_labels(super().label_map(index), self.ids[index]))

    def _choose(self, leave: Leave, with_anomaly: int) -> list[int]:
        """Indices of the samples to keep."""
        everything = range(len(self.dataset))
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
        labels = _require_labels(self.dataset.label_map(index), self.dataset.ids[index])
        return torch.stack([(labels == held).sum() for held in self._held])

    def _require_anomalies(self, pixels: Tensor, with_anomaly: int) -> None:
        for held, count in zip(self._held, pixels.sum(dim=0).tolist(), strict=True):
            if count == 0:
                name = self.dataset.classes.names[held]
                raise DataError(f"no image{self._like()} holds {name}; hold out a class that the split has")
        most = int(pixels.sum(dim=1).max())
        if most < with_anomaly:
            raise DataError(
                f"no image{self._like()} holds {with_anomaly} pixels of {self._named()}; the most are {most}; lower "
                "with_anomaly"
            )

    def _is_held(self, labels: Tensor) -> Tensor:
        return torch.isin(labels, torch.tensor(self._held))

    def _renumbered(self, labels: Tensor) -> Tensor:
        """The label map in the remaining classes; a value that is no class stays, so that a check can find it."""
        renumbered = labels.clone()
        renumbered[self._is_held(labels)] = self.classes.ignore_index
        kept = [old for old in range(len(self.dataset.classes)) if old not in self._held]
        for new, old in enumerate(kept):
            renumbered[labels == old] = new
        return renumbered

    def _named(self) -> str:
        return " or ".join(self.dataset.classes.names[held] for held in self._held)

    def _like(self) -> str:
        """The split, by its first image."""
        return f" of the {len(self.dataset)} ({self.dataset.ids[0]} and on)"


def _check_names(names: Sequence[str], known: Sequence[str]) -> None:
    if not names:
        raise InputError(f"heldout needs classes, such as {EXAMPLE}")
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


def _open(dataset: Dataset, split: str, classes: Sequence[str] = (), **options: Any) -> Dataset:
    return HeldOutClasses(dataset, classes, split, **options)


SOURCE = Source(
    _open,
    {"classes": name_list, "leave": choice(*get_args(Leave)), "with_anomaly": whole_number},
    root="spec",
    example=EXAMPLE,
)
