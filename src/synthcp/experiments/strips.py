"""Pictures of one test image beside each other, as in the paper's figures 5 and 7."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from synthcp.data.prepared import resized
from synthcp.fitting.context import Context
from synthcp.records import Prediction, Sample
from synthcp.segmentation.base import Segmenter, at_size

WIDTH = 240


@dataclass(frozen=True)
class Look:
    """A test image as the detectors see it.

    Attributes:
        sample: At the working size.
        image: x, shape (1, C, *S).
        prediction: Of M, at the same size.
    """

    sample: Sample
    image: Tensor
    prediction: Prediction


@torch.no_grad()
def look(segmenter: Segmenter, context: Context, original: Sample) -> Look:
    """Show an image to M at its own size, and bring what M says to the working size."""
    sample = resized(original, context.settings.scale.side)
    image = context.runtime.send(sample.image[None])
    with context.runtime.autocast():
        seen = segmenter.predict(sample.id, context.runtime.send(original.image[None]))
    return Look(sample, image, at_size(seen, image.shape[2:]))


def tile(picture: Image.Image, width: int = WIDTH) -> Image.Image:
    """Return a picture at the width of a column."""
    height = max(1, round(picture.height * width / picture.width))
    return picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
