"""A monitor for a model of torchvision.models.segmentation, from the safetensors file of its weights.

    pip install "synthcp[zoo]"
    python examples/torchvision_zoo.py --scale tiny

With a model of yours:
synthcp fit --data folder:street --model "tv:deeplabv3_resnet50?weights=my_deeplab.safetensors" --out runs/street
"""

from __future__ import annotations

from pathlib import Path

import typer
from plain_pytorch import train
from safetensors.torch import save_model
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from synthcp import Assessment, FitConfig, HeldOut, fit, open_dataset


def main(
    data: str = "scenes:?count=60", out: Path = Path("runs/torchvision"), scale: str = "small", steps: int = 200
) -> Assessment:
    """Train and save an LR-ASPP, fit a monitor to it, and ask the monitor about an image."""
    images = open_dataset(data, "train")
    model = lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=len(images.classes))
    train(model, images, steps)
    out.mkdir(parents=True, exist_ok=True)
    save_model(model, str(out / "lraspp.safetensors"))

    spec = f"tv:lraspp_mobilenet_v3_large?weights={out / 'lraspp.safetensors'}&mean=0&std=1"
    unseen = HeldOut(open_dataset(data, "val"))
    # two heads of LR-ASPP share the decision, so it must be said whose input is f_M
    options = FitConfig(
        model=spec, features="classifier.high_classifier", imperfect=unseen, scale=scale, controls=False
    )
    monitor = fit(images, out / "run", options)
    assessment = monitor.assess(open_dataset(data, "test")[0].image)
    print(*assessment.alarms or ["no alarm"], sep="\n")
    return assessment


if __name__ == "__main__":
    typer.run(main)
