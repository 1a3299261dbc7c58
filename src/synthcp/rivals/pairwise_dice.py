"""Pairwise Dice (Zenk et al., Medical Image Analysis 2025): how well do several segmenters agree on each class?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.comparison.feature_distance import seen_by
from synthcp.errors import InputError
from synthcp.fitting.fit_data import FitData
from synthcp.metrics.overlap import image_dice
from synthcp.records import Detection, Prediction
from synthcp.segmentation.base import Segmenter, at_size


@dataclass(frozen=True)
class PairwiseDice:
    """Predicts the quality of a class by the mean Dice between segmenters; nothing is fitted.

    A class that two of them agree to be absent counts 1, one that only one of them finds 0. The error map is the share
    of the other segmenters that contradict M.

    Attributes:
        segmenters: Others than M that label the same classes, such as those of the folds.

    Raises:
        InputError: There is no other segmenter.
    """

    segmenters: tuple[Segmenter, ...]

    def __post_init__(self) -> None:
        if not self.segmenters:
            raise InputError("pairwise Dice compares M with other segmenters; give one at least")

    @torch.no_grad()
    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        predicted = prediction.label_map
        others = [self._label_map(segmenter, image, prediction) for segmenter in self.segmenters]
        contradicted = torch.stack([other != predicted for other in others]).float().mean(dim=0)
        compared = combinations([predicted, *others], 2)
        classes = prediction.logits.shape[1]
        quality = torch.stack([batch_dice(first, second, classes) for first, second in compared]).mean(dim=0)
        return Detection(error_map=contradicted, class_quality=quality)

    def _label_map(self, segmenter: Segmenter, image: Tensor, prediction: Prediction) -> Tensor:
        return at_size(seen_by(segmenter, image, prediction), image.shape[2:]).label_map


def batch_dice(first: Tensor, second: Tensor, classes: int) -> Tensor:
    """Return the Dice of every class between label maps (B, *S), shape (B, L); a class that both lack counts 1."""
    pairs = zip(first, second, strict=True)
    return torch.stack([image_dice(one, other, classes, ignore_index=-1) for one, other in pairs]).float()


def fit_pairwise_dice(data: FitData) -> Detector:
    """Compare M with those of the folds.

    Raises:
        InputError: M was brought, and there are no folds.
    """
    return PairwiseDice(tuple(segmenter for segmenter, _ in data.folds if segmenter is not data.segmenter))
