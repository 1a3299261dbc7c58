"""A monitor for a model of Hugging Face transformers, from the folder that save_pretrained wrote (or from the hub).

    python examples/huggingface.py --scale tiny

With a model of yours: synthcp fit --data folder:street --model "hf:my_segformer?input=short:512" --out runs/street
"""

from __future__ import annotations

from pathlib import Path

import typer
from plain_pytorch import train
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from synthcp import Assessment, FitConfig, HeldOut, fit, open_dataset


def main(
    data: str = "scenes:?count=60", out: Path = Path("runs/huggingface"), scale: str = "small", steps: int = 200
) -> Assessment:
    """Train and save a small SegFormer, fit a monitor to its folder, and ask the monitor about an image."""
    images = open_dataset(data, "train")
    model = SegformerForSemanticSegmentation(
        SegformerConfig(
            id2label=dict(enumerate(images.classes.names)),  # by these names its classes find those of the data
            depths=[1, 1, 1, 1],
            hidden_sizes=[16, 32, 64, 128],
            decoder_hidden_size=64,
        )
    )
    train(model, images, steps)
    model.save_pretrained(out / "segformer")

    spec = f"hf:{out / 'segformer'}?mean=0&std=1"  # trained above on images in [0, 1], not on normalised ones
    unseen = HeldOut(open_dataset(data, "val"))
    monitor = fit(images, out / "run", FitConfig(model=spec, imperfect=unseen, scale=scale, controls=False))
    print("features:", monitor.settings.model.features)
    assessment = monitor.assess(open_dataset(data, "test")[0].image)
    print(*assessment.alarms or ["no alarm"], sep="\n")
    return assessment


if __name__ == "__main__":
    typer.run(main)
