"""A data set at the working size, held in memory as bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.derived import Derived
from synthcp.data.transforms import resize, resize_labels, short_side
from synthcp.errors import DataError
from synthcp.records import Sample

MAX_ASPECT = 32
"""Longest side over shortest of an image that is seen as a whole; what a monitor judges it sees in windows."""


class Prepared(Derived):
    """Every image and label map of a data set, resized so that the shorter side is `side` (0 keeps the size).

    Images are kept as uint8, label maps as uint8 where they fit; a sample costs 4 bytes a pixel.

    Raises:
        DataError: An image is too long; see `require_whole`.
    """

    def __init__(
        self,
        dataset: Dataset,
        side: int,
        progress: Callable[[int, int], None] | None = None,
        patch: tuple[int, ...] = (),
    ) -> None:
        super().__init__(dataset)
        self.patch = patch
        self._samples: list[Sample] = []
        for index in range(len(dataset)):
            sample = dataset[index]
            require_whole(sample)
            self._samples.append(_packed(resized(sample, side)))
            if progress is not None:
                progress(index + 1, len(dataset))

    def __getitem__(self, index: int) -> Sample:
        """Return one sample as float image and int64 label map."""
        packed = self._samples[index]
        return replace(packed, image=packed.image.float() / 255, label_map=self.label_map(index))

    def label_map(self, index: int) -> Tensor | None:
        """Return the label map of one sample."""
        label_map = self._samples[index].label_map
        return None if label_map is None else label_map.long()

    @property
    def groups(self) -> list[str]:
        """The group of every sample, in order."""
        return [sample.group for sample in self._samples]


def require_whole(sample: Sample) -> None:
    """Refuse an image that is too long to be seen as a whole at the working size; raises DataError."""
    size = tuple(sample.image.shape[1:])
    if len(size) == 2 and max(size) > MAX_ASPECT * min(size):
        raise DataError(
            f"{sample.id}: the image is {size}, more than {MAX_ASPECT} times as long as wide, which only score, eval "
            "and calibrate judge, in windows; cut it into shorter ones"
        )


def resized(sample: Sample, side: int) -> Sample:
    """Return the sample with its shorter side resized to `side`; 0 keeps it as it is."""
    size = short_side(tuple(sample.image.shape[1:]), side) if side else tuple(sample.image.shape[1:])
    label_map = sample.label_map
    return replace(
        sample,
        image=resize(sample.image, size),
        label_map=None if label_map is None else resize_labels(label_map, size),
        anomaly_mask=_resized_mask(sample.anomaly_mask, size),
        roi=_resized_mask(sample.roi, size),
    )


def _resized_mask(mask: Tensor | None, size: tuple[int, ...]) -> Tensor | None:
    return None if mask is None else resize_labels(mask.long(), size).bool()


def _packed(sample: Sample) -> Sample:
    image = (sample.image * 255).round().clamp(0, 255).to(torch.uint8)
    return replace(sample, image=image, label_map=_small(sample.label_map))


def _small(label_map: Tensor | None) -> Tensor | None:
    if label_map is None:
        return None
    return label_map.to(torch.uint8 if 0 <= label_map.min() and label_map.max() < 256 else torch.int32)
