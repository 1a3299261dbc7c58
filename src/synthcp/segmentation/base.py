"""The segmenter M: image -> Prediction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from synthcp.nn.spatial import SpatialDims, resize
from synthcp.records import Prediction


class Segmenter(nn.Module):
    """A network that labels every pixel and shows the features that it judged by.

    Attributes:
        classes: L, the number of classes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spatial_dims: SpatialDims, classes: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, *[1] * spatial_dims), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, *[1] * spatial_dims), persistent=False)

    @abstractmethod
    def stages(self, image: Tensor) -> list[Tensor]:
        """Return the trunk's feature maps of a normalised image, shallow to deep; the last one is f_M."""

    @abstractmethod
    def classify(self, features: Tensor) -> Tensor:
        """Return the logits (B, L, *s) of the features f_M (B, K, *s)."""

    def normalize(self, image: Tensor) -> Tensor:
        """Shift and scale an image in [0, 1] to what the trunk was trained on."""
        return (image - self.mean) / self.std

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the trunk's feature maps of an image (B, C, *S) in [0, 1], shallow to deep."""
        return self.stages(self.normalize(image))

    def forward(self, image: Tensor) -> Prediction:
        """Label an image (B, C, *S) in [0, 1]; the logits come at the size of the image."""
        features = self.features(image)[-1]
        logits = self.classify(features).float()
        return Prediction(resize(logits, image.shape[2:]), features.float())
