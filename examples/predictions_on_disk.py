"""A monitor for predictions that another program wrote as label maps; M itself is never run.

    python examples/predictions_on_disk.py --scale tiny

With files of yours: synthcp fit --data folder:street --model preds:my_predictions --out runs/street
and then:            synthcp score new_images/ --monitor runs/street --predictions new_predictions --out out/new
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import typer
from PIL import Image
from plain_pytorch import network, train

from synthcp import Assessment, FitConfig, HeldOut, fit, open_dataset
from synthcp.data.base import Dataset


@torch.no_grad()
def predict(model: torch.nn.Module, images: Dataset, folder: Path) -> None:
    """The other program: one 8-bit PNG of class indices per image, named after it, here half as high and wide."""
    folder.mkdir(parents=True, exist_ok=True)
    for sample in images:
        label_map = model(sample.image[None]).argmax(dim=1)[0]
        Image.fromarray(label_map.numpy().astype(np.uint8)).save(folder / f"{sample.id}.png")


def main(
    data: str = "scenes:?count=60", out: Path = Path("runs/predictions"), scale: str = "small", steps: int = 200
) -> Assessment:
    """Write predictions, fit a monitor to them, and ask the monitor about an image."""
    images, unseen, new = (open_dataset(data, split) for split in ("train", "val", "test"))
    model = network(len(images.classes))
    train(model, images, steps)
    for dataset in (unseen, new):
        predict(model, dataset, out / "predictions")

    spec = f"preds:{out / 'predictions'}"
    options = FitConfig(model=spec, imperfect=HeldOut(unseen), scale=scale, controls=False)
    monitor = fit(images, out / "run", options)
    assessment = monitor.assess(new[0].image, new[0].id)  # its prediction is found by the id
    print(*assessment.alarms or ["no alarm"], sep="\n")
    assert assessment.anomaly_map is None  # nobody can say what M would see in the synthesis
    return assessment


if __name__ == "__main__":
    typer.run(main)
