"""A monitor for a model of segmentation_models_pytorch, from the safetensors file of its weights.

    pip install "synthcp[zoo]"
    python examples/smp_zoo.py --scale tiny

With a model of yours:
synthcp fit --data folder:street --model "smp:Unet/resnet34?weights=my_unet.safetensors&input=pad:32" --out runs/street
"""

from __future__ import annotations

from pathlib import Path

import segmentation_models_pytorch as smp
import typer
from plain_pytorch import train
from safetensors.torch import save_model

from synthcp import Assessment, FitConfig, HeldOut, fit, open_dataset


def main(
    data: str = "scenes:?count=60&size=96x128", out: Path = Path("runs/smp"), scale: str = "small", steps: int = 200
) -> Assessment:
    """Train and save a U-Net, fit a monitor to it, and ask the monitor about an image."""
    images = open_dataset(data, "train")
    model = smp.Unet("resnet18", encoder_weights=None, classes=len(images.classes))
    train(model, images, steps)
    out.mkdir(parents=True, exist_ok=True)
    save_model(model, str(out / "unet.safetensors"))

    # this U-Net halves its image five times, so every side is padded to a multiple of 32
    spec = f"smp:Unet/resnet18?weights={out / 'unet.safetensors'}&input=pad:32&mean=0&std=1"
    unseen = HeldOut(open_dataset(data, "val"))
    monitor = fit(images, out / "run", FitConfig(model=spec, imperfect=unseen, scale=scale, controls=False))
    print("features:", monitor.settings.model.features)
    assessment = monitor.assess(open_dataset(data, "test")[0].image)
    print(*assessment.alarms or ["no alarm"], sep="\n")
    return assessment


if __name__ == "__main__":
    typer.run(main)
