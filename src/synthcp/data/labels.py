"""What the values of label files mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from synthcp.data.images import read_label_map
from synthcp.errors import DataError
from synthcp.records import Classes
from synthcp.system.files import load_json

KNOWN_OR_ANOMALY = Classes(("known", "anomaly"), ((120, 120, 120), (255, 60, 0)))
"""Stands in for the classes of a data set without label maps; nothing is judged by them, as M has its own."""


@dataclass(frozen=True)
class Annotation:
    """What the label files of an image say of it, as in `Sample`; a part that they do not say is None."""

    label_map: Tensor | None = None
    anomaly_mask: Tensor | None = None
    roi: Tensor | None = None


@dataclass(frozen=True)
class LabelValues:
    """What the values of a label file mean; a value that is named nowhere is an error.

    Attributes:
        known: Of what is no anomaly; where there are label maps, the value of each class, in their order.
        anomaly: Of unknown objects.
        void: Of pixels without a label.
        outside: Those of the above that lie outside the region of interest.
    """

    known: Sequence[int]
    anomaly: Sequence[int]
    void: Sequence[int] = ()
    outside: Sequence[int] = ()

    def annotation(self, path: Path, ignore_index: int | None = None) -> Annotation:
        """Read a label file.

        Args:
            path: 8-bit, one channel.
            ignore_index: Of the label map to make, where anomalies and void carry it; None makes no label map.

        Raises:
            DataError: The file cannot be read, or holds a value that means nothing.
        """
        values = read_label_map(path)
        self._refuse_others(values, path)
        label_map = None if ignore_index is None else _looked_up(values, self.known, ignore_index)
        return Annotation(label_map, _among(values, self.anomaly), ~_among(values, self.outside))

    def _refuse_others(self, values: Tensor, path: Path) -> None:
        meaning = (*self.known, *self.anomaly, *self.void)
        others = torch.unique(values[~_among(values, meaning)]).tolist()
        if others:
            raise DataError(
                f"{path} holds the value {', '.join(map(str, others[:5]))}; known is {_ranges(self.known)}, anomaly "
                f"{_ranges(self.anomaly)}, no label {_ranges(self.void)}; correct the file, or name its kind of data"
            )


def stored_values(path: Path, classes: Classes) -> LabelValues | None:
    """Return what classes.json says of the integers in label files; None where they are the indices of the classes.

    Raises:
        DataError: There are not as many values as classes, they are not integers of 8 bits that differ, or the ignore
            index is one of them.
    """
    content = load_json(path, "write one", DataError)
    if "values" not in content and content.get("ignore_index", 255) is not None:
        return None
    values = content.get("values", list(range(len(classes))))
    proper = isinstance(values, list) and all(type(value) is int and 0 <= value < 256 for value in values)
    if not proper or len(values) != len(classes) or len(set(values)) < len(values):
        raise DataError(
            f'{path}: "values" must list an integer from 0 to 255 for each of the {len(classes)} classes, none twice; '
            f"it is {values!r}; correct it"
        )
    void = content.get("ignore_index", None if 255 in values else 255)
    if void in values or not (void is None or type(void) is int and 0 <= void < 256):
        raise DataError(
            f'{path}: "ignore_index" must be null, or an integer from 0 to 255 that is not among the "values"; it is '
            f"{void!r}; correct it"
        )
    return LabelValues(known=values, anomaly=(), void=() if void is None else (void,))


ZERO_ONE = LabelValues(known=(0,), anomaly=(1,), void=(255,), outside=(255,))
"""0 known, 1 anomaly, 255 outside the region of interest: Road Anomaly, Fishyscapes, SegmentMeIfYouCan."""


def _among(values: Tensor, chosen: Sequence[int]) -> Tensor:
    """True where a value is one of the chosen; values are 0 to 255."""
    table = torch.zeros(256, dtype=torch.bool)
    table[list(chosen)] = True
    return table[values]


def _looked_up(values: Tensor, known: Sequence[int], ignore_index: int) -> Tensor:
    """The class of every pixel; values are 0 to 255."""
    table = torch.full((256,), ignore_index)
    table[list(known)] = torch.arange(len(known))
    return table[values]


def _ranges(values: Sequence[int]) -> str:
    """In words, such as "7, 8 or 11 to 13"; only neighbours in order make a range."""
    runs = [[value for _, value in run] for _, run in groupby(enumerate(values), lambda place: place[1] - place[0])]
    parts = [part for run in runs for part in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))]
    return " or ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]])) or "nowhere"
