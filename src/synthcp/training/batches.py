"""Random batches of augmented samples."""

from __future__ import annotations

import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.transforms import jitter, random_window, view


def labelled_batch(
    dataset: Dataset, batch: int, zoom: tuple[float, float], strength: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw samples, and of each a random window of the first one's shape.

    Returns:
        Images (B, C, *S) in [0, 1] and label maps (B, *S), all of the size of the data set's first sample.
    """
    size = tuple(dataset[0].image.shape[1:])
    images, label_maps = [], []
    for index in torch.randint(len(dataset), (batch,), generator=generator).tolist():
        sample = dataset[index]
        assert sample.label_map is not None  # check_labels ran before training
        window = random_window(tuple(sample.image.shape[1:]), size, zoom, generator)
        images.append(jitter(view(sample.image, window, size, "linear"), strength, generator))
        label_maps.append(view(sample.label_map, window, size, "nearest"))
    return torch.stack(images), torch.stack(label_maps)
