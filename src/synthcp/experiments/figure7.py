"""Figure 7: image, ground truth, prediction, drawing, and the anomaly maps of MSP, of the paper's score and of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.experiments.anomaly_run import AnomalyRun
from synthcp.experiments.strips import WIDTH, look, tile
from synthcp.records import Classes, Sample
from synthcp.report.figures import grid
from synthcp.report.outputs import write_picture
from synthcp.report.pictures import heat_picture, image_picture, label_picture, mask_picture


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
    seen, classes = look(run.segmenter, run.context, original), run.context.settings.classes
    with run.context.runtime.autocast():
        drawing = run.generator.draw(seen.prediction.label_map, seen.image)[0].float().cpu()
        maps = [detector(seen.image, seen.prediction).anomaly_map for detector in detectors.values()]
    pictures = [
        image_picture(seen.sample.image),
        _truth(seen.sample, classes),
        label_picture(seen.prediction.label_map[0].cpu(), classes),
        image_picture(drawing),
        *(heat_picture(_stretched(scores[0])) for scores in maps if scores is not None),
    ]
    return [tile(picture) for picture in pictures]


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
