"""Controls that know next to nothing of a prediction: what a useful detector must beat."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.errors import InputError
from synthcp.fitting.fit_data import FitData
from synthcp.nn.labels import one_hot
from synthcp.records import Detection, Prediction
from synthcp.rivals.quality_regression import ClassScores, fit_isotonic, regressed


@dataclass(frozen=True)
class ConstantQuality:
    """Predicts the same for every image; plain numbers, so that they go to JSON.

    Attributes:
        values: Quality per class, in [0, 1].

    Raises:
        InputError: A value is not in [0, 1].
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not all(0 <= value <= 1 for value in self.values):
            raise InputError(f"constant qualities {self.values} must lie in [0, 1]")

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        return Detection(class_quality=image.new_tensor(self.values).expand(len(image), -1))


def fit_constant(quality: Tensor) -> ConstantQuality:
    """Return the mean of true qualities (N, L), NaN where not judged; a class judged nowhere gets that of all others.

    Raises:
        InputError: Nothing is judged.
    """
    means = quality.double().nanmean(dim=0)
    return ConstantQuality(tuple(means.where(~means.isnan(), quality.double().nanmean()).tolist()))


@dataclass(frozen=True)
class ConstantError:
    """Finds every pixel of every image equally likely wrong: its average precision is the share of wrong pixels.

    Attributes:
        value: Of the error map.
    """

    value: float = 0.0

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        return Detection(error_map=torch.full_like(image[:, 0], self.value))


@dataclass(frozen=True)
class VolumeShare:
    """Scores each class by its share of the predicted label map, in (0, 1]; a regression makes a control of it."""

    def __call__(self, image: Tensor, prediction: Prediction) -> ClassScores:
        """Measure a prediction (shapes: see QualityScore)."""
        shares = one_hot(prediction.label_map, prediction.logits.shape[1]).flatten(2).mean(dim=2)
        return ClassScores(shares.masked_fill(shares == 0, torch.nan))


def fit_constant_quality(data: FitData) -> Detector:
    """Fit the constants to the imperfect predictions from which all rivals learn what a score means."""
    return fit_constant(torch.stack([example.quality for example in data.examples(data.usual)]))


def fit_volume(data: FitData) -> Detector:
    """Fit a monotone curve to the share of each class."""
    return regressed(data, lambda _: VolumeShare(), fit_isotonic)
