"""Figure 5: image, ground truth, prediction, drawing, true and predicted errors; true against predicted IoU."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.experiments.failure_run import FailureRun
from synthcp.experiments.strips import WIDTH, look, tile
from synthcp.metrics.overlap import image_quality
from synthcp.report.figures import grid, quality_scatter, save_figure
from synthcp.report.outputs import write_picture
from synthcp.report.pictures import heat_picture, image_picture, label_picture, mask_picture

HEADINGS = ("Image", "Ground truth", "Prediction", "Drawing", "True errors", "Predicted errors")


def figure5(run: FailureRun, dataset: Dataset, detector: Detector, target: Path, images: int = 5) -> None:
    """Draw images at equal distances through the data set, and one scatter plot for each class over all of them.

    Args:
        run: Whose M is judged.
        dataset: Labelled images.
        detector: SynthCP.
        target: TARGET.png shows the images, TARGET-iou.png the plots.
        images: How many to show.

    Raises:
        InputError: A target cannot be written.
    """
    count = len(dataset)
    shown = {(2 * part + 1) * count // (2 * images) for part in range(min(images, count))}
    classes = run.context.settings.classes
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in classes.structures}
    strips = []
    for index in range(count):
        pictures, pairs = _judged(run, dataset, detector, index)
        for name, pair in pairs.items():
            points[name].append(pair)
        strips += [pictures] if index in shown else []
    write_picture(target.with_suffix(".png"), grid(HEADINGS, strips, WIDTH))
    save_figure(target.with_name(f"{target.name}-iou.png"), quality_scatter(points, most_columns=6))


@torch.no_grad()
def _judged(
    run: FailureRun, dataset: Dataset, detector: Detector, index: int
) -> tuple[list[Image.Image], dict[str, tuple[float, float]]]:
    """The pictures of one image, and true and predicted IoU of the structures where there is one."""
    settings = run.context.settings
    seen = look(run.segmenter, run.context, dataset[index])
    with run.context.runtime.autocast():
        detection = detector(seen.image, seen.prediction)
    truth, predicted = seen.sample.label_map, seen.prediction.label_map[0].cpu()
    assert truth is not None and detection.error_map is not None and detection.synthesis is not None
    assert detection.class_quality is not None  # SynthCP says all
    classes = settings.classes
    quality = image_quality(settings.measure, truth, predicted, len(classes), classes.ignore_index)
    pictures = [
        image_picture(seen.sample.image),
        label_picture(truth, classes),
        label_picture(predicted, classes),
        image_picture(detection.synthesis[0].float().cpu()),
        mask_picture((predicted != truth) & (truth != classes.ignore_index)),
        heat_picture(detection.error_map[0].float().cpu()),
    ]
    said = detection.class_quality[0].float().cpu()
    pairs = zip(classes.names, quality.tolist(), said.tolist(), strict=True)
    known = {name: (true, guess) for name, true, guess in pairs if name in classes.structures and true == true}
    return [tile(picture) for picture in pictures], known
