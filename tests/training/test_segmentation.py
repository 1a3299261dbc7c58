from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from synthcp.data.base import Dataset
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.system.runtime import Runtime
from synthcp.training.batches import labelled_batch
from synthcp.training.segmentation import SegmentationConfig, SegmentationTraining


@torch.no_grad()
def accuracy(segmenter: DeepLab, dataset: Dataset) -> float:
    segmenter.eval()
    hits = [(segmenter(sample.image[None]).label_map[0] == sample.label_map).float().mean() for sample in dataset]
    return float(torch.stack(hits).mean())


def test_a_segmenter_learns_the_colours(toy: Callable[..., Dataset], cpu: Runtime) -> None:
    torch.manual_seed(0)
    dataset = toy(4)
    segmenter = DeepLab(2, DeepLabConfig(classes=3, width=8, output_stride=4, rates=(1,)))
    before = accuracy(segmenter, dataset)
    config = SegmentationConfig(steps=25, batch=4, zoom=(1.0, 1.0), jitter=0.0)
    training = SegmentationTraining(segmenter, dataset, config, cpu, seed=0)
    losses = [training.step(step)["loss"] for step in range(25)]
    assert losses[-1] < 0.6 * losses[0]
    assert accuracy(segmenter, dataset) > before + 0.2


def test_windows_keep_image_and_labels_together(toy: Callable[..., Dataset]) -> None:
    dataset = toy(4)
    generator = torch.Generator().manual_seed(0)
    images, label_maps = labelled_batch(dataset, 8, (1.0, 2.0), 0.0, generator)
    colors = torch.tensor(dataset.classes.colors) / 255
    nearest = torch.cdist(images.movedim(1, -1), colors.expand(8, 32, -1, -1)).argmin(-1)
    known = label_maps != 255
    assert images.shape == (8, 3, 32, 40) and (nearest == label_maps)[known].float().mean() > 0.93


def test_batches_of_volumes(toy: Callable[..., Dataset]) -> None:
    images, label_maps = labelled_batch(toy(2, (8, 12, 16)), 3, (1.0, 1.5), 0.2, torch.Generator().manual_seed(0))
    assert images.shape == (3, 3, 8, 12, 16) and label_maps.shape == (3, 8, 12, 16)
    assert images.min() >= 0 and images.max() <= 1 and set(label_maps.unique().tolist()) <= {0, 1, 2, 255}


@pytest.mark.parametrize(("step", "rate"), [(0, 0.02), (5, 0.02 * 0.5**0.9)])
def test_the_learning_rate_is_poly(toy: Callable[..., Dataset], cpu: Runtime, step: int, rate: float) -> None:
    segmenter, config = DeepLab(2, DeepLabConfig(classes=3, width=4)), SegmentationConfig(10, 2, learning_rate=0.02)
    training = SegmentationTraining(segmenter, toy(2), config, cpu, seed=0)
    training.step(step)
    assert training.optimizers["segmenter"].param_groups[0]["lr"] == pytest.approx(rate)
