"""A monitor for a network of your own: any torch.nn.Module that gives logits is taken as it is.

    python examples/plain_pytorch.py --scale tiny

On the command line the same network is reached through a file: synthcp fit --model plain_pytorch.py:network ...
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
import typer
from torch import nn

from synthcp import Assessment, FitConfig, HeldOut, fit, open_dataset
from synthcp.data.base import Dataset
from synthcp.segmentation.adapters import logits_in


def network(classes: int = 9) -> nn.Module:
    """A few convolutions; the features that SynthCP compares are the input of the last one, which it finds itself."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=2, dilation=2), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, classes, 1),
    )  # fmt: skip


def train(model: nn.Module, images: Dataset, steps: int) -> None:
    """Train a model that gives logits of any size; a stand-in for the training that your model has behind it."""
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    model.train()
    for step in range(steps):
        samples = [images[(4 * step + offset) % len(images)] for offset in range(4)]
        labels = torch.stack([sample.label_map for sample in samples if sample.label_map is not None])
        logits = logits_in(model(torch.stack([sample.image for sample in samples])))
        logits = F.interpolate(logits, labels.shape[1:], mode="bilinear")
        loss = F.cross_entropy(logits, labels, ignore_index=images.classes.ignore_index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


def main(
    data: str = "scenes:?count=60", out: Path = Path("runs/plain"), scale: str = "small", steps: int = 200
) -> Assessment:
    """Train a network, fit a monitor to it, and ask the monitor about an image."""
    images = open_dataset(data, "train")
    model = network(len(images.classes))
    train(model, images, steps)
    unseen = HeldOut(open_dataset(data, "val"))  # F learns from the mistakes that M makes on images it has not seen
    monitor = fit(images, out, FitConfig(model=model, imperfect=unseen, scale=scale, controls=False))
    assessment = monitor.assess(open_dataset(data, "test")[0].image)
    print(*assessment.alarms or ["no alarm"], sep="\n")
    return assessment


if __name__ == "__main__":
    typer.run(main)
