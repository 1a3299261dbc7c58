"""A monitor for an ONNX file, whatever framework wrote it.

    python examples/onnx_export.py --scale tiny

With a file of yours: synthcp fit --data folder:street --model "onnx:my_model.onnx?input=resize:512x1024" ...
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
import typer
from plain_pytorch import network, train
from torch.export import Dim

from synthcp import Assessment, FitConfig, HeldOut, fit, open_dataset


def export(model: torch.nn.Module, image: torch.Tensor, path: Path) -> None:
    """Write a network as ONNX, for any number of images of any size; logits, not their softmax or argmax."""
    path.parent.mkdir(parents=True, exist_ok=True)
    free = ({0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO},)
    with warnings.catch_warnings(action="ignore"):  # torch's own, of its exporter
        torch.onnx.export(model, (torch.stack([image, image]),), path, dynamic_shapes=free, verbose=False)


def main(
    data: str = "scenes:?count=60", out: Path = Path("runs/onnx"), scale: str = "small", steps: int = 200
) -> Assessment:
    """Train and export a network, fit a monitor to the file, and ask the monitor about an image."""
    images = open_dataset(data, "train")
    model = network(len(images.classes))
    train(model, images, steps)
    export(model, images[0].image, out / "model.onnx")

    unseen = HeldOut(open_dataset(data, "val"))
    options = FitConfig(model=f"onnx:{out / 'model.onnx'}", imperfect=unseen, scale=scale, controls=False)
    monitor = fit(images, out / "run", options)
    print("features:", monitor.settings.model.features)  # the tensor that goes into the last convolution
    assessment = monitor.assess(open_dataset(data, "test")[0].image)
    print(*assessment.alarms or ["no alarm"], sep="\n")
    return assessment


if __name__ == "__main__":
    typer.run(main)
