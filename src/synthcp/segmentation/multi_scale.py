"""M shown at several sizes at once, as the authors' release does for anomalies: softmax and features are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synthcp.nn.spatial import dims_of, resize
from synthcp.records import Prediction
from synthcp.segmentation.base import Segmenter, log_probabilities

FIVE_SCALES = (2 / 3, 5 / 6, 1.0, 7 / 6, 4 / 3)
"""Shorter sides 300, 375, 450, 525 and 600, the authors', in units of the middle one."""


class MultiScale(Segmenter):
    """A segmenter that looks at every image several times, each time at another size.

    Args:
        segmenter: M.
        scales: Each a factor on the size at which M sees an image; above 0.
    """

    def __init__(self, segmenter: Segmenter, scales: Sequence[float] = FIVE_SCALES) -> None:
        super().__init__(
            dims_of(segmenter.mean), (0.0,), (1.0,), segmenter.input_size
        )  # the segmenter itself normalises
        self.segmenter = segmenter
        self.scales = tuple(scales)

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the log of the mean softmax, and the mean of each feature map at its size in the first look."""
        looks = [self._at(image, scale) for scale in self.scales]
        mean = torch.stack([look.probabilities for look in looks]).mean(dim=0)
        return log_probabilities(mean), [_mean(layers) for layers in zip(*(look.layers for look in looks), strict=True)]

    def _at(self, image: Tensor, scale: float) -> Prediction:
        """The prediction of one look, its logits at the size of the image."""
        size = [max(1, round(scale * side)) for side in image.shape[2:]]
        seen: Prediction = self.segmenter(resize(image, size, antialias=True))
        return Prediction(resize(seen.logits, image.shape[2:]), seen.layers)


def _mean(layers: Sequence[Tensor]) -> Tensor:
    return torch.stack([resize(layer, layers[0].shape[2:]) for layer in layers]).mean(dim=0)
