"""An M that is unsure of itself, for images and volumes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from synthcp.nn.spatial import SpatialDims, conv
from synthcp.rivals.dropout import MonteCarloDropout
from synthcp.segmentation.base import Segmenter


class Wavering(Segmenter):
    """One convolution, dropout, and a classifier of three classes."""

    def __init__(self, dims: SpatialDims) -> None:
        super().__init__(dims, (0.0,), (1.0,))
        self.trunk, self.dropout, self.classifier = conv(dims, 3, 16), nn.Dropout(0.4), conv(dims, 16, 3, kernel=1)

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = self.trunk(image)
        return 3 * self.classifier(self.dropout(features)), [features]


@pytest.fixture(params=[2, 3])
def dims(request: pytest.FixtureRequest) -> SpatialDims:
    return 3 if request.param == 3 else 2


@pytest.fixture
def dropout(dims: SpatialDims) -> MonteCarloDropout:
    """Four passes of an M with dropout."""
    torch.manual_seed(0)
    return MonteCarloDropout(Wavering(dims).eval().requires_grad_(False), passes=4)
