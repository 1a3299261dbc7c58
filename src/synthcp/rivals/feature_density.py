"""How unusual M's features are among those of in-distribution images, by any measure of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.comparison.feature_distance import layers_of
from synthcp.nn.spatial import resize, resize_nearest
from synthcp.records import Detection, Prediction
from synthcp.segmentation.base import Segmenter

Unusualness = Callable[[Tensor], Tensor]
"""From features (B, K, *s) to a score (B, *s), larger = farther from the features of in-distribution images."""


@dataclass(frozen=True)
class FeatureDensity:
    """Scores every pixel by how unusual its features are; says nothing of errors.

    Attributes:
        segmenter: M, which looks again at an image whose prediction comes without features.
        unusualness: Fitted, on features of the same layer: ClassGaussians or NearestNeighbors.
        layer: Index into M's feature maps, shallow to deep; -1 is f_M, the input of the last layer.
    """

    segmenter: Segmenter
    unusualness: Unusualness
    layer: int = -1

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector)."""
        features = layers_of(self.segmenter, image, prediction)[self.layer]
        with torch.autocast(image.device.type, enabled=False):  # in bf16 most neighbours are equally near
            score = self.unusualness(features)
        return Detection(anomaly_map=resize(score[:, None], image.shape[2:])[:, 0])


def rows_of(features: Tensor) -> Tensor:
    """Return features (B, K, *s) pixel by pixel, shape (B * prod(s), K)."""
    return features.float().movedim(1, -1).flatten(0, -2)


def rows_by_class(features: Tensor, label_map: Tensor, classes: int) -> Iterator[tuple[int, Tensor]]:
    """Return for every class in an image (batch) its features, shape (N, K); a pixel without a class is left out.

    Args:
        features: Shape (B, K, *s).
        label_map: Shape (B, *S), of any size; the nearest label counts.
        classes: L.
    """
    labels = resize_nearest(label_map[:, None].float(), features.shape[2:]).long().flatten().to(features.device)
    rows = rows_of(features)
    for label in torch.unique(labels).tolist():
        if 0 <= label < classes:
            yield label, rows[labels == label]
