"""The figures of the paper, each of one test, one M and one seed: 5 (failures), 6 (volumes) and 7 (anomalies)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.data.working_size import resized
from synthcp.evaluation.results import Row
from synthcp.experiments.table import Pictured
from synthcp.fitting.fit_data import FitData
from synthcp.fitting.heads import SYNTHCP
from synthcp.records import Classes, Prediction, Sample
from synthcp.report.figures import grid, quality_scatter, save_figure
from synthcp.report.outputs import write_picture
from synthcp.report.pictures import heat_picture, image_picture, label_picture, mask_picture
from synthcp.segmentation.base import at_size
from synthcp.system.files import replace_whole

WIDTH = 240
IMAGES = 5
"""How many images figures 5 and 7 show."""


class ShownImage(NamedTuple):
    """A test image as the detectors see it: at the working size, as a batch (1, C, *S), and what M says of it."""

    sample: Sample
    image: Tensor
    prediction: Prediction


@torch.no_grad()
def seen_by_detectors(run: FitData, original: Sample) -> ShownImage:
    """Show an image to M at its own size, and bring what M says to the working size."""
    sample, runtime = resized(original, run.context.settings.scale.side), run.context.runtime
    image = runtime.send(sample.image[None])
    with runtime.autocast():
        prediction = run.predictor.predict(sample.id, runtime.send(original.image[None]))
    return ShownImage(sample, image, at_size(prediction, image.shape[2:]))


def figure5(pictured: Pictured) -> None:
    """Draw images at equal distances through the data set, and one scatter plot for each class over all of them.

    TARGET.png shows the images with SynthCP's syntheses and error maps, TARGET-iou.png the plots.

    Raises:
        InputError: A target cannot be written.
    """
    headings = ("Image", "Ground truth", "Prediction", "Synthesis", "True errors", "Predicted errors")
    dataset, target = pictured.dataset, pictured.target
    count = len(dataset)
    shown = sorted({(2 * part + 1) * count // (2 * IMAGES) for part in range(min(IMAGES, count))})
    strips = [_failures(pictured, dataset[index]) for index in shown]
    with replace_whole(target.with_suffix(".png")) as temporary:
        write_picture(temporary, grid(headings, strips, WIDTH))
    points = pictured.judged.results.class_quality
    save_figure(target.with_name(f"{target.name}-iou.png"), quality_scatter(points, most_columns=6))


@torch.no_grad()
def _failures(pictured: Pictured, original: Sample) -> list[Image.Image]:
    run, classes = pictured.run, pictured.run.context.settings.classes
    sample, image, prediction = seen_by_detectors(run, original)
    with run.context.runtime.autocast():
        detection = pictured.detectors[Row("SynthCP")](image, prediction)
    truth, predicted = sample.label_map, prediction.label_map[0].cpu()
    assert truth is not None and detection.error_map is not None and detection.synthesis is not None
    pictures = [
        image_picture(sample.image),
        label_picture(truth, classes),
        label_picture(predicted, classes),
        image_picture(detection.synthesis[0].float().cpu()),
        mask_picture((predicted != truth) & (truth != classes.ignore_index)),
        heat_picture(detection.error_map[0].float().cpu()),
    ]
    return [_tile(picture) for picture in pictures]


def figure6(pictured: Pictured, rows: Sequence[str]) -> None:
    """Draw predicted against true Dice, one scatter plot for each row of the table and each structure.

    Raises:
        InputError: The target cannot be written.
    """
    cases = pictured.judged.cases
    pairs = {
        f"{row}: {structure}": list(zip(cases.true[:, column], cases.quality[row][:, column], strict=True))
        for column, structure in enumerate(pictured.judged.structures)
        for row in rows
    }
    save_figure(pictured.target.with_suffix(".png"), quality_scatter(pairs, "Dice", most_columns=len(rows)))


def figure7(pictured: Pictured, rows: Sequence[str]) -> None:
    """Draw the images with the largest anomalies, each row's map on a colour scale from its lowest to its highest.

    Raises:
        InputError: The target cannot be written.
    """
    headings = ["Image", "Ground truth", "Prediction", "Synthesis", *rows]
    detectors = [pictured.detectors[Row(row)] for row in rows]
    chosen = _largest(pictured.dataset, IMAGES)
    strips = [_anomalies(pictured.run, pictured.dataset[index], detectors) for index in chosen]
    with replace_whole(pictured.target.with_suffix(".png")) as temporary:
        write_picture(temporary, grid(headings, strips, WIDTH))


def _largest(dataset: Dataset, images: int) -> list[int]:
    """The images with the largest share of anomalous pixels, in order, spread over the data set by equal parts."""
    shares = [_share(dataset[index]) for index in range(len(dataset))]
    shown = [index for index, share in enumerate(shares) if share > 0]
    parts = [shown[part * len(shown) // images : (part + 1) * len(shown) // images] for part in range(images)]
    return [max(part, key=lambda index: shares[index]) for part in parts if part]


def _share(sample: Sample) -> float:
    return 0.0 if sample.anomaly_mask is None else float(sample.anomaly_mask.float().mean())


@torch.no_grad()
def _anomalies(run: FitData, original: Sample, detectors: Sequence[Detector]) -> list[Image.Image]:
    classes = run.context.settings.classes
    sample, image, prediction = seen_by_detectors(run, original)
    with run.context.runtime.autocast():
        synthesis = run.generators[SYNTHCP].draw(prediction.label_map, image)[0].float().cpu()
        maps = [detector(image, prediction).anomaly_map for detector in detectors]
    pictures = [
        image_picture(sample.image),
        _truth(sample, classes),
        label_picture(prediction.label_map[0].cpu(), classes),
        image_picture(synthesis),
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
    """A picture at the width of a column."""
    height = max(1, round(picture.height * WIDTH / picture.width))
    return picture.convert("RGB").resize((WIDTH, height), Image.Resampling.BILINEAR)
