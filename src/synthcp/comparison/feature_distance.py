"""The anomaly comparator: cosine distance of M's features (eq. 9), refined by MSP."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.errors import InputError
from synthcp.nn.spatial import resize
from synthcp.records import Detection, Prediction
from synthcp.segmentation.base import Segmenter, in_numbers

BLANK = 0.45
"""Grey level of a blank canvas, near the mean of photographs."""

SLAB = 32
"""Rows compared at a time; what lies between, several times as large as the features, never fills the memory."""


def feature_distance(reference: Tensor, synthesis: Tensor) -> Tensor:
    """Cosine distance between the features of every pixel (eq. 9), larger where the synthesis disagrees.

    Args:
        reference: f_M(x), shape (B, K, *S).
        synthesis: f_M(x_hat), same shape.

    Returns:
        Distance in [0, 2], shape (B, *S); 0 where the features are parallel or all zero on both sides.
    """
    slabs = zip(torch.split(reference, SLAB, dim=2), torch.split(synthesis, SLAB, dim=2), strict=True)
    return torch.cat([_cosine_distance(a, b) for a, b in slabs], dim=1)


def _cosine_distance(reference: Tensor, synthesis: Tensor) -> Tensor:
    distance = (1 - F.cosine_similarity(reference.float(), synthesis.float(), dim=1)).clamp(0, 2)
    return distance.masked_fill((reference == 0).all(dim=1) & (synthesis == 0).all(dim=1), 0.0)


def refine_by_msp(distance: Tensor, confidence: Tensor, threshold: float) -> Tensor:
    """Where M is surer than t, trust M instead of the synthesis: c * 1[p <= t] + (1 - p) * 1[p > t].

    Args:
        distance: c_n of eq. 9, shape (B, *S).
        confidence: p, the maximum softmax probability, same shape.
        threshold: t in [0, 1]; 1 leaves the distance as it is.
    """
    return distance.where(confidence <= threshold, 1 - confidence)


def seen_by(segmenter: Segmenter, picture: Tensor, prediction: Prediction) -> Prediction:
    """Return what M says of a picture (B, C, *S), shown to it at the size at which it saw the image.

    Raises:
        DataError: A logit or a feature is NaN or infinite.
    """
    return in_numbers(segmenter.predict("", resize(picture, prediction.seen_size, antialias=True)))


def layers_of(segmenter: Segmenter, image: Tensor, prediction: Prediction) -> tuple[Tensor, ...]:
    """Return M's feature maps of an image (B, C, *S), shallow to deep; M looks again if the prediction has none."""
    return prediction.layers or seen_by(segmenter, image, prediction).layers


@dataclass(frozen=True)
class FeatureDistance:
    """F for anomaly segmentation.

    Attributes:
        segmenter: M, which looks at the synthesis.
        threshold: t of the refinement; 0.999 is the paper's.
        layer: Index into M's feature maps, shallow to deep; -1 is f_M, the input of the last layer.

    Raises:
        InputError: t lies outside [0, 1].
    """

    segmenter: Segmenter
    threshold: float = 0.999
    layer: int = -1

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold t = {self.threshold} must lie in [0, 1]; the paper uses 0.999")

    def distance(self, image: Tensor, synthesis: Tensor, prediction: Prediction) -> Tensor:
        """Return eq. 9 at the size of the image, shape (B, *S), before the refinement."""
        reference = layers_of(self.segmenter, image, prediction)[self.layer]
        distance = feature_distance(reference, seen_by(self.segmenter, synthesis, prediction).layers[self.layer])
        return resize(distance[:, None], image.shape[2:])[:, 0]

    def feature_distances(self, image: Tensor, synthesis: Tensor, prediction: Prediction) -> Tensor:
        """Return all that M finds different between image and synthesis, at the size of the image.

        Returns:
            Shape (B, 1 + layers, *S), in [0, 2]: how little M recognises its own prediction in the synthesis, 1
            minus the softmax of y_hat in M(x_hat), then eq. 9 at every feature layer, shallow to deep.
        """
        size = image.shape[2:]
        drawn = seen_by(self.segmenter, synthesis, prediction)
        recognition = resize(drawn.logits, size).softmax(dim=1)
        parts = [1 - recognition.gather(1, prediction.label_map[:, None])]
        for reference, feature in zip(layers_of(self.segmenter, image, prediction), drawn.layers, strict=True):
            parts.append(resize(feature_distance(reference, feature)[:, None], size))
        return torch.cat(parts, dim=1)

    def objectness(self, image: Tensor, prediction: Prediction) -> Tensor:
        """Return how much there is to see: eq. 9 with a blank canvas in the synthesis' place.

        Where a picture is empty M's features are those of the canvas; objects, known or not, stand out from it.

        Returns:
            Shape (B, layers, *S), in [0, 2], at the size of the image; shallow to deep.
        """
        blank = seen_by(self.segmenter, torch.full_like(image[:1], BLANK), prediction)
        pairs = zip(layers_of(self.segmenter, image, prediction), blank.layers, strict=True)
        parts = [feature_distance(layer, empty.expand_as(layer))[:, None] for layer, empty in pairs]
        return torch.cat([resize(part, image.shape[2:]) for part in parts], dim=1)

    def __call__(self, image: Tensor, synthesis: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Comparator)."""
        distance = self.distance(image, synthesis, prediction)
        return Detection(anomaly_map=refine_by_msp(distance, prediction.confidence, self.threshold))
