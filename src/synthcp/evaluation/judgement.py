"""What M and every row say of one image, and what is true of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.errors import ShapeError
from synthcp.evaluation.results import Row
from synthcp.records import Detection, Prediction, Sample


@dataclass(frozen=True)
class Truth:
    """What is true of a prediction, at the size at which it is judged.

    Attributes:
        error: Where it is wrong, shape (*S), bool.
        known: Where that is known, same shape.
        quality: Of every class, shape (L,).
    """

    error: Tensor
    known: Tensor
    quality: Tensor


@dataclass(frozen=True)
class Said:
    """What M and every row say of one image, at the working size: all that the scores need of them.

    Attributes:
        label_map: y_hat, shape (*S), int64, on the CPU.
        detections: What every row says.
    """

    label_map: Tensor
    detections: Mapping[Row, Detection]


@dataclass(frozen=True)
class Judgement:
    """All that the scores need of one image.

    Attributes:
        index: Of the image in the data set.
        original: The sample as it came.
        sample: The same at the working size.
        said: Of it by M and every row.
        truth: None without a label map.
    """

    index: int
    original: Sample
    sample: Sample
    said: Said
    truth: Truth | None


@dataclass(frozen=True)
class Judged(Judgement):
    """All that is known of one image once every detector has judged it.

    Attributes:
        prediction: Of M for the original, at M's own size.
    """

    prediction: Prediction

    @property
    def label_map(self) -> Tensor:
        """y_hat at the working size, shape (*S), int64, on the CPU."""
        return self.said.label_map

    @property
    def detections(self) -> Mapping[Row, Detection]:
        """What every row says, at the working size."""
        return self.said.detections


def region_of_interest(sample: Sample, ignore_index: int) -> Tensor:
    """Where anomaly scores are judged: as the sample says, or else wherever there is a class or an anomaly.

    Returns:
        Shape (*S), bool.

    Raises:
        ShapeError: The anomaly mask has another size than the image.
    """
    size, mask = tuple(sample.image.shape[1:]), sample.anomaly_mask
    if mask is not None and tuple(mask.shape) != size:
        raise ShapeError(f"{sample.id}: the anomaly mask is {tuple(mask.shape)}, its image {size}; they must match")
    if sample.roi is not None:
        return sample.roi
    if sample.label_map is None:
        return torch.ones(size, dtype=torch.bool)
    known = sample.label_map != ignore_index
    return known if mask is None else known | mask
