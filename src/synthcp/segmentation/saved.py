"""preds:DIR, predictions that another program left on disk, found by the id of their image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from synthcp.errors import DataError
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Classes, Prediction


class SavedPredictions:
    """A folder of predictions.

    Args:
        folder: With a file for each image.
        classes: The label set of the predictions.
        spatial_dims: 2 or 3.
    """

    def __init__(self, folder: Path, classes: Classes, spatial_dims: SpatialDims) -> None:
        self.folder = folder

    def require(self, ids: Sequence[str]) -> None:
        """Raise InputError when an image has no prediction."""

    def predict(self, sample_id: str, image: Tensor) -> Prediction:
        """Read the prediction of one image (shapes: see Predictor)."""
        raise DataError(f"{self.folder} has no prediction of {sample_id}")
