"""Figure 7: image, ground truth, prediction, drawing, and the anomaly maps of MSP, of the paper's score and of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.prepared import resized
from synthcp.detection.base import Detector
from synthcp.experiments.anomaly_run import AnomalyRun
from synthcp.records import Classes, Sample
from synthcp.report.figures import grid
from synthcp.report.outputs import write_picture
from synthcp.report.pictures import heat_picture, image_picture, label_picture, mask_picture
from synthcp.segmentation.base import at_size

WIDTH = 240


def figure7(
    run: AnomalyRun, dataset: Dataset, detectors: Mapping[str, Detector], target: Path, images: int = 5
) -> None:
    """Draw the images with the largest anomalies, each detector's map on a colour scale from its lowest to its highest.

    Args:
        run: M and G.
        dataset: Images with anomaly masks.
        detectors: By the heading of their column.
        target: The PNG file.
        images: How many; of equal frames of a sequence the first.

    Raises:
        InputError: The target cannot be written.
    """
    chosen = _largest(dataset, images)
    headings = ["Image", "Ground truth", "Prediction", "Drawing", *detectors]
    write_picture(target, grid(headings, [_strip(run, dataset[index], detectors) for index in chosen], WIDTH))


def _largest(dataset: Dataset, images: int) -> list[int]:
    """The images with the largest share of anomalous pixels, in order, spread over the data set by equal parts."""
    shares = [_share(dataset[index]) for index in range(len(dataset))]
    shown = [index for index, share in enumerate(shares) if share > 0]
    parts = [shown[part * len(shown) // images : (part + 1) * len(shown) // images] for part in range(images)]
    return [max(part, key=lambda index: shares[index]) for part in parts if part]


def _share(sample: Sample) -> float:
    return 0.0 if sample.anomaly_mask is None else float(sample.anomaly_mask.float().mean())


@torch.no_grad()
def _strip(run: AnomalyRun, original: Sample, detectors: Mapping[str, Detector]) -> list[Image.Image]:
    settings, runtime = run.context.settings, run.context.runtime
    sample = resized(original, settings.scale.side)
    image = runtime.send(sample.image[None])
    with runtime.autocast():
        seen = run.segmenter.predict(sample.id, runtime.send(original.image[None]))
        prediction = at_size(seen, image.shape[2:])
        drawing = run.generator.draw(prediction.label_map, image)[0].float().cpu()
        maps = [detector(image, prediction).anomaly_map for detector in detectors.values()]
    label_map = prediction.label_map[0].cpu()
    pictures = [
        image_picture(sample.image),
        _truth(sample, settings.classes),
        label_picture(label_map, settings.classes),
    ]
    pictures += [
        image_picture(drawing),
        *(heat_picture(_stretched(scores[0])) for scores in maps if scores is not None),
    ]
    return [_tile(picture) for picture in pictures]


def _truth(sample: Sample, classes: Classes) -> Image.Image:
    """The classes with the anomaly in white, or the anomaly alone where there is no label map."""
    assert sample.anomaly_mask is not None  # only such images are drawn
    mask = mask_picture(sample.anomaly_mask)
    if sample.label_map is None:
        return mask
    picture = label_picture(sample.label_map, classes).convert("RGB")
    picture.paste((255, 255, 255), mask=mask)
    return picture


def _stretched(scores: Tensor) -> Tensor:
    low, high = scores.min(), scores.max()
    return ((scores - low) / (high - low).clamp_min(1e-12)).float().cpu()


def _tile(picture: Image.Image) -> Image.Image:
    height = max(1, round(picture.height * WIDTH / picture.width))
    return picture.convert("RGB").resize((WIDTH, height), Image.Resampling.BILINEAR)
