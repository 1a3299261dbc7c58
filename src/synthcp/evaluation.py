"""evaluate(detectors, predictor, dataset) -> Results: one loop, the same for every detector."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.prepared import resized
from synthcp.detection.base import Detector
from synthcp.metrics.overlap import confusion_matrix, image_iou, intersection_over_union, mean_iou
from synthcp.metrics.ranking import PerImageRanking, RankingScores, StreamingRanking
from synthcp.metrics.regression import RegressionScores, class_quality_scores
from synthcp.records import Classes, Detection, Sample
from synthcp.runtime import Runtime
from synthcp.segmentation.base import Predictor, at_size

RAW = "-raw"
"""Suffix of the row that shows a learned detector's verdict by itself, without M's logits blended in."""


@dataclass(frozen=True)
class DetectorResult:
    """Scores of one detector on one data set; a part that does not apply is None.

    Attributes:
        name: Name of the detector, as in the table.
        error_pooled: Error detection over all pixels of all images together (protocol "pooled").
        error_per_image: The mean over images of the score of each image (protocol "per image").
        quality: Predicted against true IoU per class, averaged over the classes.
        anomaly_pooled: Anomaly segmentation over all pixels together; None without anomaly masks.
        anomaly_per_image: The same, mean over images.
    """

    name: str
    error_pooled: RankingScores | None = None
    error_per_image: RankingScores | None = None
    quality: RegressionScores | None = None
    anomaly_pooled: RankingScores | None = None
    anomaly_per_image: RankingScores | None = None


@dataclass(frozen=True)
class Results:
    """Everything a table, a figure or a report needs to know about one evaluation.

    Attributes:
        detectors: In the order given; a learned detector has a row for its verdict alone, then its own.
        miou: Mean IoU of the segmenter over the classes that occur, in [0, 1].
        class_iou: IoU of the segmenter per class name, over all pixels, NaN for a class that does not occur.
        images: Number of images.
        class_quality: For scatter plots, per class name the (true, predicted) IoU of every image where the class is
            present, as judged by the last detector that predicts quality.
        settings: Data, split, seed, commit, hardware, variant, scale and other facts, for printing.
    """

    detectors: tuple[DetectorResult, ...]
    miou: float
    class_iou: dict[str, float]
    images: int
    class_quality: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


class _Accumulator:
    """The running scores of one detector."""

    def __init__(self) -> None:
        self.error_pooled = StreamingRanking()
        self.error_per_image = PerImageRanking()
        self.anomaly_pooled = StreamingRanking()
        self.anomaly_per_image = PerImageRanking()
        self.true_iou: list[Tensor] = []
        self.predicted_iou: list[Tensor] = []

    def add(self, detection: Detection, error: Tensor, sample: Sample, true_iou: Tensor, ignore_index: int) -> None:
        assert sample.label_map is not None
        known = sample.label_map != ignore_index
        if detection.error_map is not None:
            scores = detection.error_map[0].float().cpu()[known]
            self.error_pooled.update(scores, error[known])
            self.error_per_image.update(scores, error[known])
        if detection.anomaly_map is not None and sample.anomaly_mask is not None:
            judged = known | sample.anomaly_mask
            scores = detection.anomaly_map[0].float().cpu()[judged]
            self.anomaly_pooled.update(scores, sample.anomaly_mask[judged])
            self.anomaly_per_image.update(scores, sample.anomaly_mask[judged])
        if detection.class_quality is not None:
            self.true_iou.append(true_iou)
            self.predicted_iou.append(detection.class_quality[0].float().cpu())

    def result(self, name: str) -> DetectorResult:
        quality = None
        if self.true_iou:
            quality = class_quality_scores(
                torch.stack(self.true_iou).double().numpy(), torch.stack(self.predicted_iou).double().numpy()
            )
        error, anomaly = self.error_pooled.compute(), self.anomaly_pooled.compute()
        return DetectorResult(
            name,
            error if error.images else None,
            self.error_per_image.compute() if error.images else None,
            quality,
            anomaly if anomaly.images else None,
            self.anomaly_per_image.compute() if anomaly.images else None,
        )


@torch.no_grad()
def evaluate(
    detectors: Mapping[str, Detector],
    predictor: Predictor,
    dataset: Dataset,
    runtime: Runtime,
    settings: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    side: int = 0,
) -> Results:
    """Judge every image of a labelled data set by every detector.

    Protocol: ignored pixels leave the failure scores. In the anomaly scores the pixels of unknown objects are the
    positives and the labelled ones the negatives.

    Args:
        detectors: By the name they shall have in the table.
        predictor: M, which sees the images as they are.
        dataset: Labelled images.
        runtime: Where the networks run.
        settings: Facts for printing.
        progress: Called with (images done, images).
        side: Shorter side of the working size, at which predictions are judged; 0 keeps the size of the images.
    """
    classes = dataset.classes
    accumulators: defaultdict[str, _Accumulator] = defaultdict(_Accumulator)
    confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    for number, original in enumerate(dataset):
        sample = resized(original, side)
        assert sample.label_map is not None  # check_labels ran before
        image = runtime.send(sample.image[None])
        with runtime.autocast():
            prediction = predictor.predict(sample.id, runtime.send(original.image[None]))
        prediction = at_size(prediction, image.shape[2:])
        predicted = prediction.label_map[0].cpu()
        confusion += confusion_matrix(sample.label_map, predicted, len(classes), classes.ignore_index)
        true_iou = image_iou(sample.label_map, predicted, len(classes), classes.ignore_index)
        error = predicted != sample.label_map
        for name, detector in detectors.items():
            with runtime.autocast():
                detection = detector(image, prediction)
            for row, judged in _rows(name, detection):
                accumulators[row].add(judged, error, sample, true_iou, classes.ignore_index)
        if progress is not None:
            progress(number + 1, len(dataset))
    return Results(
        tuple(accumulator.result(name) for name, accumulator in accumulators.items()),
        mean_iou(confusion),
        dict(zip(classes.names, intersection_over_union(confusion).tolist(), strict=True)),
        len(dataset),
        _scatter(accumulators, classes),
        dict(settings or {}),
    )


def _rows(name: str, detection: Detection) -> Iterator[tuple[str, Detection]]:
    """The rows of the table that one detection counts for: the verdict by itself, if there is one, and the whole."""
    if detection.verdict is not None:
        yield name + RAW, Detection(error_map=detection.verdict)
    yield name, detection


def _scatter(accumulators: Mapping[str, _Accumulator], classes: Classes) -> dict[str, list[tuple[float, float]]]:
    """Return (true, predicted) IoU by class for the last detector that predicts quality, the shipped one."""
    judging = [accumulator for accumulator in accumulators.values() if accumulator.true_iou]
    if not judging:
        return {}
    true, predicted = torch.stack(judging[-1].true_iou), torch.stack(judging[-1].predicted_iou)
    return {
        name: [(float(t), float(p)) for t, p in zip(true[:, i], predicted[:, i], strict=True) if not t.isnan()]
        for i, name in enumerate(classes.names)
    }
