"""Random batches of augmented samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.transforms import Window, jitter, random_patch, random_window, view
from synthcp.nn.padding import at_least
from synthcp.records import Sample


def labelled_batch(
    dataset: Dataset, batch: int, zoom: tuple[float, float], strength: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw samples, and of each a random window.

    Returns:
        Images (B, C, *S) in [0, 1] and label maps (B, *S), all of the data set's window size. What is smaller than a
        patch is padded: the image by its border, the label map by the ignore index, so that nothing is learnt from it.
    """
    size = window_size(dataset)
    images, label_maps = [], []
    for sample, window in _windows(dataset, batch, zoom, generator):
        assert sample.label_map is not None  # check_labels ran before training
        images.append(jitter(view(sample.image, window, size, "linear"), strength, generator))
        label_maps.append(view(sample.label_map, window, size, "nearest"))
    return torch.stack(images), torch.stack(label_maps)


def teaches(label_maps: Tensor, ignore_index: int) -> bool:
    """Whether a pixel of label maps has a class; a batch without one is passed over, for the mean of nothing is NaN."""
    return bool((label_maps != ignore_index).any())


def image_batch(dataset: Dataset, batch: int, zoom: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Draw images alone, labelled or not, and of each a random window as labelled_batch does; shape (B, C, *S)."""
    size, windows = window_size(dataset), _windows(dataset, batch, zoom, generator)
    return torch.stack([view(sample.image, window, size, "linear") for sample, window in windows])


def window_size(dataset: Dataset) -> tuple[int, ...]:
    """Return the size at which every window of a data set is seen: its patch, or that of its first sample."""
    return dataset.patch or tuple(dataset[0].image.shape[1:])


def draw_window(dataset: Dataset, image: Tensor, zoom: tuple[float, float], generator: torch.Generator) -> Window:
    """Draw a window of an image (C, *S) of a data set."""
    draw = random_patch if dataset.patch else random_window
    return draw(tuple(image.shape[1:]), window_size(dataset), zoom, generator)


def _windows(
    dataset: Dataset, batch: int, zoom: tuple[float, float], generator: torch.Generator
) -> Iterator[tuple[Sample, Window]]:
    """Samples and their windows, each drawn when it is asked for."""
    for index in torch.randint(len(dataset), (batch,), generator=generator).tolist():
        sample = _as_large_as_a_patch(dataset, dataset[index])
        yield sample, draw_window(dataset, sample.image, zoom, generator)


def _as_large_as_a_patch(dataset: Dataset, sample: Sample) -> Sample:
    if not dataset.patch:
        return sample
    label_map = sample.label_map
    return replace(
        sample,
        image=at_least(sample.image, dataset.patch, None),
        label_map=None if label_map is None else at_least(label_map, dataset.patch, dataset.classes.ignore_index),
    )
