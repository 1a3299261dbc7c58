"""A monitor for nnU-Net, from the folder of its results: the folds have left the predictions that F learns from.

    python examples/nnunet_folder.py --scale tiny

nnU-Net is not needed here: two small networks stand in for it and leave what it leaves. With results of yours, trained
with "nnUNetv2_train ... --npz" and predicted with "nnUNetv2_predict ... --save_probabilities":

    synthcp fit --data folder:images --model preds:nnUNet_results/... --imperfect folds:nnUNet_results/... --out runs/nn
    synthcp score new_images/ --monitor runs/nn --predictions predicted/ --out out/new
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import typer
from plain_pytorch import network, train

from synthcp import Assessment, FitConfig, fit, open_dataset
from synthcp.data.base import Dataset
from synthcp.data.subset import Subset
from synthcp.fitting.imperfect_sources import Folds


@torch.no_grad()
def predict(model: torch.nn.Module, images: Dataset, folder: Path) -> None:
    """Class probabilities as nnU-Net stores them: (classes, 1, height, width) for flat images."""
    folder.mkdir(parents=True, exist_ok=True)
    for sample in images:
        probabilities = model(sample.image[None])[0].softmax(dim=0)
        np.savez_compressed(folder / f"{sample.id}.npz", probabilities=probabilities[:, None].half().numpy())


def main(
    data: str = "scenes:?count=60", out: Path = Path("runs/nnunet"), scale: str = "small", steps: int = 200
) -> Assessment:
    """Leave a folder of results, fit a monitor to it, and ask the monitor about a new image."""
    images, new = open_dataset(data, "train"), open_dataset(data, "test")
    results = out / "results"
    for fold in (0, 1):
        unseen, seen = (Subset(images, range(first, len(images), 2)) for first in (fold, 1 - fold))
        model = network(len(images.classes))
        train(model, seen, steps)
        predict(model, unseen, results / f"fold_{fold}" / "validation")
    predict(model, new, results / "new")

    options = FitConfig(model=f"preds:{results}", imperfect=Folds(results), scale=scale, controls=False)
    monitor = fit(images, out / "run", options)
    assessment = monitor.assess(new[0].image, new[0].id)
    print(*assessment.alarms or ["no alarm"], sep="\n")
    return assessment


if __name__ == "__main__":
    typer.run(main)
