"""evaluate(detectors, predictor, dataset) -> Results: one loop, the same for every detector."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.data.prepared import resized
from synthcp.errors import InputError, ShapeError
from synthcp.metrics.overlap import confusion_matrix, image_quality, intersection_over_union
from synthcp.metrics.protocols import PROTOCOLS, AnomalyScores
from synthcp.metrics.ranking import PerImageRanking, RankingScores, StreamingRanking
from synthcp.metrics.regression import RegressionScores, class_quality_scores
from synthcp.nn.spatial import resize
from synthcp.records import Classes, Detection, Measure, Sample, measure_of
from synthcp.segmentation.base import Predictor, at_size
from synthcp.system.runtime import Runtime

DEFAULT_PROTOCOLS = ("pooled", "caos")
"""Of anomaly segmentation: all pixels together, and the mean over images as the anomaly benchmark has it."""

RAW = "-raw"
"""Suffix of the row that shows a learned detector's verdict by itself, without M's logits blended in."""


@dataclass(frozen=True)
class DetectorResult:
    """Scores of one detector on one data set; a part that does not apply is None.

    Attributes:
        name: Name of the detector, as in the table.
        error_pooled: Error detection over all pixels of all images together (protocol "pooled").
        error_per_image: The mean over images of the score of each image (protocol "per image").
        quality: Predicted against true quality per class, averaged over the classes.
        anomaly: Anomaly segmentation by protocol (metrics.protocols), without those that are undefined on the data;
            empty where no pixel is anomalous.
    """

    name: str
    error_pooled: RankingScores | None = None
    error_per_image: RankingScores | None = None
    quality: RegressionScores | None = None
    anomaly: dict[str, AnomalyScores] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """Everything a table, a figure or a report needs to know about one evaluation.

    Attributes:
        detectors: In the order given; a learned detector has a row for its verdict alone, then its own.
        mean_quality: Of the segmenter: the mean over the classes that occur, without the background, in [0, 1]; NaN
            without label maps.
        segmenter_quality: Of the segmenter per class name: its IoU over the pixels of all images, NaN for a class that
            does not occur, or the mean of its Dice over the volumes.
        images: Number of images.
        class_quality: For scatter plots, per class name (without the background) the (true, predicted) quality of every
            image where it is defined, as judged by the last detector that predicts quality.
        settings: Data, split, seed, commit, hardware, variant, scale and other facts, for printing.
        measure: Of every quality here.
    """

    detectors: tuple[DetectorResult, ...]
    mean_quality: float
    segmenter_quality: dict[str, float]
    images: int
    class_quality: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    measure: Measure = "IoU"


@dataclass(frozen=True)
class Truth:
    """What is true of a prediction, at the size at which it is judged.

    Attributes:
        error: Where it is wrong, shape (*S), bool.
        known: Where that is known, same shape.
        quality: Of every class, shape (L,).
    """

    error: Tensor
    known: Tensor
    quality: Tensor


Watch = Callable[[Mapping[str, Detection], Truth, Tensor], None]
"""Called for every image with what each row says, by its name, what is true, and y_hat at the working size, (*S)."""


class _SegmenterQuality:
    """The running quality of M per class: IoU over the pixels of all images, or the mean of its Dice over volumes."""

    def __init__(self, classes: Classes, measure: Measure) -> None:
        self.classes = classes
        self.measure = measure
        self.confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
        self.qualities: list[Tensor] = []

    def add(self, label_map: Tensor, predicted: Tensor, quality: Tensor) -> None:
        """Count one image, of whose classes the quality is known, shape (L,)."""
        self.confusion += confusion_matrix(label_map, predicted, len(self.classes), self.classes.ignore_index)
        self.qualities.append(quality)

    def compute(self) -> Tensor:
        """Shape (L,), NaN where undefined."""
        if self.measure == "Dice" and self.qualities:
            return torch.stack(self.qualities).nanmean(dim=0)
        return intersection_over_union(self.confusion)


class _Accumulator:
    """The running scores of one detector; the quality of the structures alone counts."""

    def __init__(self, protocols: Sequence[str], structures: list[int]) -> None:
        self.structures = structures
        self.error_pooled = StreamingRanking()
        self.error_per_image = PerImageRanking()
        self.anomaly = {name: PROTOCOLS[name]() for name in protocols}
        self.anomalous = 0
        self.true_quality: list[Tensor] = []
        self.predicted_quality: list[Tensor] = []

    def add_failures(self, detection: Detection, truth: Truth) -> None:
        if detection.error_map is not None:
            scores = detection.error_map[0].float().cpu()[truth.known]
            self.error_pooled.update(scores, truth.error[truth.known])
            self.error_per_image.update(scores, truth.error[truth.known])
        if detection.class_quality is not None:
            self.true_quality.append(truth.quality[self.structures])
            self.predicted_quality.append(detection.class_quality[0].float().cpu()[self.structures])

    def add_anomalies(self, detection: Detection, mask: Tensor, roi: Tensor) -> None:
        if detection.anomaly_map is None:
            return
        scores = resize(detection.anomaly_map[:, None].float(), mask.shape)[0, 0].cpu()
        self.anomalous += int((mask & roi).sum())
        for protocol in self.anomaly.values():
            protocol.update(scores, mask, roi)

    def result(self, name: str) -> DetectorResult:
        quality = None
        if self.true_quality:
            quality = class_quality_scores(
                torch.stack(self.true_quality).double().numpy(), torch.stack(self.predicted_quality).double().numpy()
            )
        error = self.error_pooled.compute()
        return DetectorResult(
            name,
            error if error.images else None,
            self.error_per_image.compute() if error.images else None,
            quality,
            self._anomaly_scores() if self.anomalous else {},
        )

    def _anomaly_scores(self) -> dict[str, AnomalyScores]:
        """Scores by protocol; one that is undefined here is left out, for the others must not be lost, unless all are.

        So is the mean over images where every anomaly fills its image.
        """
        found, refused = dict[str, AnomalyScores](), list[InputError]()
        for name, protocol in self.anomaly.items():
            try:
                found[name] = protocol.compute()
            except InputError as error:
                refused.append(error)
        if refused and not found:
            raise refused[0]
        return found


@torch.no_grad()
def evaluate(
    detectors: Mapping[str, Detector],
    predictor: Predictor,
    dataset: Dataset,
    runtime: Runtime,
    settings: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    side: int = 0,
    classes: Classes | None = None,
    protocols: Sequence[str] = DEFAULT_PROTOCOLS,
    watch: Watch | None = None,
) -> Results:
    """Judge every image of a data set by every detector.

    Failures are judged at the working size, where there is a label map; ignored pixels are left out. Anomalies are
    judged at the size of the anomaly mask, to which the score is resized, within the sample's region of interest.

    Args:
        detectors: By the name they shall have in the table.
        predictor: M, which sees the images as they are.
        dataset: Images with label maps, anomaly masks or both.
        runtime: Where the networks run.
        settings: Facts for printing.
        progress: Called with (images done, images).
        side: Shorter side of the working size; 0 keeps the size of the images.
        classes: That M tells apart; by default those of the data.
        protocols: Of anomaly segmentation, by name.
        watch: Called once for every image that has a label map.

    Raises:
        ShapeError: An anomaly mask has another size than its image.
        InputError: There are anomalies, but scores are undefined under every protocol.
    """
    classes = classes or dataset.classes
    structures = [classes.names.index(name) for name in classes.structures]
    accumulators: defaultdict[str, _Accumulator] = defaultdict(lambda: _Accumulator(protocols, structures))
    segmenter = _SegmenterQuality(classes, measure_of(dataset[0].image.dim() - 1))
    for number, original in enumerate(dataset):
        sample, roi = resized(original, side), region_of_interest(original, classes.ignore_index)
        image = runtime.send(sample.image[None])
        with runtime.autocast():
            prediction = predictor.predict(sample.id, runtime.send(original.image[None]))
        prediction = at_size(prediction, image.shape[2:])
        predicted = prediction.label_map[0].cpu()
        truth = _truth(sample, predicted, classes, segmenter.measure)
        if sample.label_map is not None and truth is not None:
            segmenter.add(sample.label_map, predicted, truth.quality)
        said = dict[str, Detection]()
        for name, detector in detectors.items():
            with runtime.autocast():
                detection = detector(image, prediction)
            for row, judged in _rows(name, detection):
                said[row] = judged
                if truth is not None:
                    accumulators[row].add_failures(judged, truth)
                if original.anomaly_mask is not None:
                    accumulators[row].add_anomalies(judged, original.anomaly_mask, roi)
        if truth is not None and watch is not None:
            watch(said, truth, predicted)
        if progress is not None:
            progress(number + 1, len(dataset))
    quality = segmenter.compute()
    return Results(
        tuple(accumulator.result(name) for name, accumulator in accumulators.items()),
        float(quality[structures].nanmean()),
        dict(zip(classes.names, quality.tolist(), strict=True)),
        len(dataset),
        _scatter(accumulators, classes),
        dict(settings or {}),
        segmenter.measure,
    )


def _truth(sample: Sample, predicted: Tensor, classes: Classes, measure: Measure) -> Truth | None:
    """What is true of a prediction; None without a label map."""
    label_map = sample.label_map
    if label_map is None:
        return None
    quality = image_quality(measure, label_map, predicted, len(classes), classes.ignore_index)
    return Truth(predicted != label_map, label_map != classes.ignore_index, quality)


def region_of_interest(sample: Sample, ignore_index: int) -> Tensor:
    """Where anomaly scores are judged: as the sample says, or else wherever there is a class or an anomaly.

    Returns:
        Shape (*S), bool.

    Raises:
        ShapeError: The anomaly mask has another size than the image.
    """
    size, mask = tuple(sample.image.shape[1:]), sample.anomaly_mask
    if mask is not None and tuple(mask.shape) != size:
        raise ShapeError(f"{sample.id}: the anomaly mask is {tuple(mask.shape)}, its image {size}; they must match")
    if sample.roi is not None:
        return sample.roi
    if sample.label_map is None:
        return torch.ones(size, dtype=torch.bool)
    known = sample.label_map != ignore_index
    return known if mask is None else known | mask


def _rows(name: str, detection: Detection) -> Iterator[tuple[str, Detection]]:
    """The rows of the table that one detection counts for: the verdict by itself, if there is one, and the whole."""
    if detection.verdict is not None:
        yield name + RAW, Detection(error_map=detection.verdict)
    yield name, detection


def _scatter(accumulators: Mapping[str, _Accumulator], classes: Classes) -> dict[str, list[tuple[float, float]]]:
    """Return (true, predicted) quality by structure for the last detector that predicts quality, the shipped one."""
    judging = [accumulator for accumulator in accumulators.values() if accumulator.true_quality]
    if not judging:
        return {}
    true, predicted = torch.stack(judging[-1].true_quality), torch.stack(judging[-1].predicted_quality)
    return {
        name: [(float(t), float(p)) for t, p in zip(true[:, i], predicted[:, i], strict=True) if not t.isnan()]
        for i, name in enumerate(classes.structures)
    }
