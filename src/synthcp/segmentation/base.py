"""The segmenter M: image -> Prediction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from synthcp.errors import WeightsError
from synthcp.nn.finite import require_finite
from synthcp.nn.labels import one_hot
from synthcp.nn.resnet import Depth
from synthcp.nn.spatial import SpatialDims, resize
from synthcp.nn.trunk import OutputStride
from synthcp.records import Prediction
from synthcp.segmentation.input_size import InputSize

CERTAIN = 10.0
"""Logit of the one class that a label map names; how sure the model was, a label map does not say."""

EPSILON = 1e-6
"""Added to probabilities before their logarithm is taken; the smallest then stays finite."""


@dataclass(frozen=True)
class SegmenterShape:
    """What a built-in segmenter is built for; each takes what it needs of it.

    Attributes:
        spatial_dims: 2 or 3.
        classes: L.
        channels: Of the image.
        width: Channels of the first stage.
        depth: Of a ResNet; 101 is that of the papers.
        output_stride: Of a ResNet.
        rates: Of DeepLab's pyramid.
        hidden: Channels of f_M, where it can be chosen.
        deeplab_head: DeepLab-v2's sum or v3's pyramid.
        trunk: A trunk by its name, as wide as the published one, in place of the ResNet of that depth and width.
        input_size: At which size it sees an image.
    """

    spatial_dims: SpatialDims
    classes: int
    channels: int = 3
    width: int = 64
    depth: Depth = 18
    output_stride: OutputStride = 8
    rates: tuple[int, ...] = (6, 12, 18, 24)
    hidden: int = 512
    deeplab_head: Literal["sum", "v3"] = "sum"
    trunk: str = ""
    input_size: InputSize = InputSize()


class Predictor(Protocol):
    """Whoever makes the predictions: a live network, or a folder of predictions that another program made."""

    def predict(self, sample_id: str, image: Tensor) -> Prediction:
        """Return the prediction for one image.

        Args:
            sample_id: The id of the image, by which predictions on disk are found.
            image: x, shape (1, C, *S), in [0, 1], as it came, before any resizing.
        """
        ...


class Segmenter(nn.Module):
    """A network that labels every pixel and shows the features that it judged by.

    Args:
        spatial_dims: 2 or 3.
        mean: To which images are normalised, per channel; one number serves all.
        std: Likewise.
        input_size: At which size the network sees an image; None shows it as it is.

    Attributes:
        input_size: At which size the network sees an image.
        differentiable: Whether gradients reach the image, as G's perceptual loss needs it.
    """

    mean: Tensor
    std: Tensor
    differentiable = True

    def __init__(
        self,
        spatial_dims: SpatialDims,
        mean: Sequence[float] = (0.45,),
        std: Sequence[float] = (0.225,),
        input_size: InputSize | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size or InputSize()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, *[1] * spatial_dims), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, *[1] * spatial_dims), persistent=False)

    @abstractmethod
    def forward_with_features(self, image: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Look at a normalised image (B, C, *S).

        Returns:
            Logits (B, L, *s), of any size, and feature maps, shallow to deep, the last one f_M.
        """

    def normalize(self, image: Tensor) -> Tensor:
        """Shift and scale an image in [0, 1] to what the network was trained on."""
        return (image - self.mean) / self.std

    def forward(self, image: Tensor) -> Prediction:
        """Label an image (B, C, *S) in [0, 1] at its own size; the logits come at that size."""
        logits, layers = self.forward_with_features(self.normalize(image))
        return Prediction(resize(logits.float(), image.shape[2:]), tuple(layer.float() for layer in layers))

    def supervised(self, image: Tensor) -> list[tuple[float, Tensor]]:
        """Return what is supervised in training: weights, and logits (B, L, *S) of an image (B, C, *S) in [0, 1]."""
        return [(1.0, self(image).logits)]

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the feature maps of an image (B, C, *S) in [0, 1], shallow to deep."""
        return list(self(image).layers)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Start from a public state dict, the trunk at least; its keys are those of the library that it comes from.

        Raises:
            WeightsError: A key is missing or of another shape, or this network starts from scratch only.
        """
        raise WeightsError(
            f"{type(self).__name__} starts from scratch only; leave the weights out, or choose another M"
        )

    def predict(self, sample_id: str, image: Tensor) -> Prediction:
        """Label an image of any size at the size that this network sees; the id is not needed."""
        return self.input_size.applied(self, image)


def in_numbers(prediction: Prediction) -> Prediction:
    """Return the prediction; raises DataError when a logit or a feature of it is NaN or infinite."""
    require_finite("M", prediction.logits, *prediction.layers)
    return prediction


def at_size(prediction: Prediction, size: Sequence[int]) -> Prediction:
    """Return the prediction with logits at another size; it remembers at which size M saw the image."""
    return replace(prediction, logits=resize(prediction.logits, size), seen=prediction.seen_size)


def log_probabilities(probabilities: Tensor) -> Tensor:
    """Return probabilities as logits, of which they are the softmax if they sum to 1."""
    return (probabilities + EPSILON).log()


def certain(label_map: Tensor, classes: int) -> Prediction:
    """Return a label map (B, *S) as a prediction, sure of itself everywhere; a pixel without a class doubts evenly."""
    return Prediction(CERTAIN * one_hot(label_map, classes))
