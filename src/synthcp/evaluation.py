"""judge(detectors, predictor, dataset) -> Results: one loop, in which M and every detector see each image once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.comparison.long_images import is_long, judged, predicted, working_side
from synthcp.data.base import Dataset
from synthcp.data.readable import Readable
from synthcp.data.transforms import short_side
from synthcp.data.working_size import resized
from synthcp.errors import InputError, ShapeError
from synthcp.metrics.overlap import confusion_matrix, image_quality, intersection_over_union
from synthcp.metrics.protocols import PROTOCOLS, AnomalyScores
from synthcp.metrics.ranking import PerImageRanking, RankingScores, StreamingRanking
from synthcp.metrics.regression import RegressionScores, class_quality_scores
from synthcp.nn.finite import require_finite
from synthcp.nn.spatial import resize
from synthcp.records import Classes, Detection, Measure, Prediction, Sample, measure_of
from synthcp.segmentation.base import Predictor, at_size
from synthcp.system.failures import Costing, raising
from synthcp.system.pipeline import Pipeline, outcome, runs
from synthcp.system.runtime import Runtime

DEFAULT_PROTOCOLS = ("pooled", "caos")
"""Of anomaly segmentation: all pixels together, and the mean over images as the anomaly benchmark has it."""

RAW, AGAIN = "-raw", ", head "
"""How a raw error map and a detector that was fitted again are shown in the name of a row."""


@dataclass(frozen=True)
class Row:
    """A row of a table; its text is the name that is shown.

    Attributes:
        detector: Name of the detector.
        raw: Whether it is a learned detector's raw error map by itself, without M's logits blended in.
        seed: Which fit of the detector this is, if it was fitted again with the same M and G; 0 is the first.
    """

    detector: str
    raw: bool = False
    seed: int = 0

    def __str__(self) -> str:
        again = f"{AGAIN}{self.seed}" if self.seed else ""
        return self.detector + again + RAW * self.raw


Name = TypeVar("Name", bound=str | Row)
Size = tuple[int, ...]


@dataclass(frozen=True)
class DetectorResult:
    """Scores of one row on one data set; a part that does not apply is None.

    Attributes:
        row: Whose scores these are.
        error_pooled: Error detection over all pixels of all images together (protocol "pooled").
        error_per_image: The mean over images of the score of each image (protocol "per image").
        quality: Predicted against true quality per class, averaged over the classes.
        anomaly: Anomaly segmentation by protocol (metrics.protocols), without those that are undefined on the data;
            empty where no pixel is anomalous.
    """

    row: Row
    error_pooled: RankingScores | None = None
    error_per_image: RankingScores | None = None
    quality: RegressionScores | None = None
    anomaly: dict[str, AnomalyScores] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the row, as it is shown."""
        return str(self.row)


@dataclass(frozen=True)
class Results:
    """Everything a table, a figure or a report needs to know about one evaluation.

    Attributes:
        detectors: In the order given; a learned detector has a row for its raw error map, then its own.
        mean_quality: Of the segmenter: the mean over the classes that occur, without the background, in [0, 1]; NaN
            without label maps.
        segmenter_quality: Of the segmenter per class name: its IoU over the pixels of all images, or the mean of its
            Dice over the volumes; NaN for a class that does not occur.
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

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the classes without a pixel, true or predicted, over which no mean is taken."""
        return tuple(name for name, quality in self.segmenter_quality.items() if math.isnan(quality))


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


@dataclass(frozen=True)
class Said:
    """What M and every row say of one image, at the working size: all that the scores need of them.

    Attributes:
        label_map: y_hat, shape (*S), int64, on the CPU.
        detections: What every row says.
    """

    label_map: Tensor
    detections: Mapping[Row, Detection]


@dataclass(frozen=True)
class Outcome:
    """All that the scores need of one image.

    Attributes:
        index: Of the image in the data set.
        original: The sample as it came.
        sample: The same at the working size.
        said: Of it by M and every row.
        truth: None without a label map.
    """

    index: int
    original: Sample
    sample: Sample
    said: Said
    truth: Truth | None


@dataclass(frozen=True)
class Judged(Outcome):
    """All that is known of one image once every detector has judged it.

    Attributes:
        prediction: Of M for the original, at M's own size.
    """

    prediction: Prediction

    @property
    def label_map(self) -> Tensor:
        """y_hat at the working size, shape (*S), int64, on the CPU."""
        return self.said.label_map

    @property
    def detections(self) -> Mapping[Row, Detection]:
        """What every row says, at the working size."""
        return self.said.detections


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
        scores = _at(mask, detection.anomaly_map)
        self.anomalous += int((mask & roi).sum())
        for protocol in self.anomaly.values():
            protocol.update(scores, mask, roi)

    def result(self, row: Row) -> DetectorResult:
        quality = None
        if self.true_quality:
            quality = class_quality_scores(
                torch.stack(self.true_quality).double().numpy(), torch.stack(self.predicted_quality).double().numpy()
            )
        error = self.error_pooled.compute()
        return DetectorResult(
            row,
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


class _Scores:
    """The running scores of M, by its IoU over the pixels of all images or its mean Dice over volumes, and of rows."""

    def __init__(self, classes: Classes, measure: Measure, protocols: Sequence[str]) -> None:
        self.classes = classes
        self.measure = measure
        self.structures = [classes.names.index(name) for name in classes.structures]
        self.confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
        self.qualities: list[Tensor] = []
        self.images = 0
        self.rows: defaultdict[Row, _Accumulator] = defaultdict(lambda: _Accumulator(protocols, self.structures))

    def add(self, outcome: Outcome) -> None:
        original, true, truth = outcome.original, outcome.sample.label_map, outcome.truth
        if true is not None and truth is not None:
            predicted, ignore_index = outcome.said.label_map, self.classes.ignore_index
            self.confusion += confusion_matrix(true, predicted, len(self.classes), ignore_index)
            self.qualities.append(truth.quality)
        self.images += 1
        mask, roi = original.anomaly_mask, region_of_interest(original, self.classes.ignore_index)
        for row, detection in outcome.said.detections.items():
            if truth is not None:
                self.rows[row].add_failures(detection, truth)
            if mask is not None:
                self.rows[row].add_anomalies(detection, mask, roi)

    def results(self, facts: Mapping[str, str]) -> Results:
        quality = intersection_over_union(self.confusion)
        if self.measure == "Dice" and self.qualities:  # 1 in every volume is no merit, of a class that is in none
            quality = torch.stack(self.qualities).nanmean(dim=0).where(~quality.isnan(), torch.nan)
        return Results(
            detectors=tuple(scores.result(row) for row, scores in self.rows.items()),
            mean_quality=float(quality[self.structures].nanmean()),
            segmenter_quality=dict(zip(self.classes.names, quality.tolist(), strict=True)),
            images=self.images,
            class_quality=self._class_quality(),
            settings=dict(facts),
            measure=self.measure,
        )

    def _class_quality(self) -> dict[str, list[tuple[float, float]]]:
        """(true, predicted) quality by structure for the last row that predicts quality, the shipped one."""
        judging = [scores for scores in self.rows.values() if scores.true_quality]
        if not judging:
            return {}
        true, predicted = torch.stack(judging[-1].true_quality), torch.stack(judging[-1].predicted_quality)
        return {
            name: [(float(t), float(p)) for t, p in zip(true[:, i], predicted[:, i], strict=True) if not t.isnan()]
            for i, name in enumerate(self.classes.structures)
        }


def _silent(step: int, steps: int) -> None:
    """Report nothing."""


def _nothing(index: int, original: Sample) -> Said | None:
    """Remember nothing."""
    return None


@dataclass(frozen=True)
class _Read:
    """A sample as it came, the same at the working size, and what was said of it before, if anything was."""

    index: int
    original: Sample
    sample: Sample
    said: Said | None


@torch.no_grad()
def judge(
    detectors: Mapping[Name, Detector],
    predictor: Predictor,
    dataset: Dataset,
    *,
    runtime: Runtime,
    side: int = 0,
    classes: Classes | None = None,
    facts: Mapping[str, str] | None = None,
    protocols: Sequence[str] = DEFAULT_PROTOCOLS,
    batch: int = 1,
    progress: Callable[[int, int], None] = _silent,
    watch: Callable[[Judged], Callable[[], None] | None] | None = None,
    costing: Costing = raising,
    recall: Callable[[int, Sample], Said | None] = _nothing,
) -> Results:
    """Judge every image of a data set by every detector.

    Failures are judged at the working size, where there is a label map; ignored pixels are left out. Anomalies are
    judged at the size of the anomaly mask, to which the score is resized, within the sample's region of interest. Very
    long images are judged in windows (see `long_images.judged`).

    Args:
        detectors: By the row, or the name of the row, that they shall have in the table.
        predictor: M, which sees the images as they are.
        dataset: Images with label maps, anomaly masks or both.
        runtime: Where the networks run.
        side: Shorter side of the working size; 0 keeps the size of the images.
        classes: That M tells apart; by default those of the data.
        facts: For printing.
        protocols: Of anomaly segmentation, by name.
        batch: How many images of one size are judged together, at most.
        progress: Called with (images done, images).
        watch: Called once for every image, after it was judged; what it returns, if anything, is called in a thread
            while the next image is judged, and belongs to the image too.
        costing: Called with an id; where it swallows what reading, judging or watching the image raises, the image is
            left out. By default nothing is swallowed.
        recall: Called in a thread with an index and its sample; what it returns is taken for what was said, and the
            image is judged and watched no more.

    Raises:
        ShapeError: An anomaly mask has another size than its image.
        InputError: There are anomalies, but scores are undefined under every protocol.
    """
    classes, measure = classes or dataset.classes, measure_of(Readable(dataset)[0].image.dim() - 1)
    rows = {name if isinstance(name, Row) else Row(name): detector for name, detector in detectors.items()}
    judges = _Judges(rows, predictor, runtime, classes, measure, side, watch, batch)
    scores = _Scores(classes, measure, protocols)

    def read(index: int) -> _Read:
        original = dataset[index]
        region_of_interest(original, classes.ignore_index)  # a mask that does not fit costs its image alone
        small = resized(original, working_side(original.image.shape[1:], side))
        return _Read(index, original, small, recall(index, original))

    with Pipeline() as pipeline:
        samples = pipeline.stage(read, range(len(dataset.ids)), ahead=batch)
        outcomes = pipeline.stage(_ended, judges(samples))
        for index, sample_id in enumerate(dataset.ids):
            found, judged = next(outcomes), None
            with costing(sample_id):
                judged = found.result()
            if judged is not None:
                scores.add(judged)
            progress(index + 1, len(dataset))
    return scores.results(facts or {})


def _ended(judged: Future[_Ending]) -> Outcome:
    """The outcome of an image when all that belongs to it is done."""
    found, rest = judged.result()
    if rest is not None:
        rest()
    return found


def _at(mask: Tensor, anomaly_map: Tensor) -> Tensor:
    """Anomaly scores (1, *s) at the size of a mask, shape (*S), on the CPU."""
    return resize(anomaly_map[:, None].float(), mask.shape)[0, 0].cpu()


_Ending = tuple[Outcome, Callable[[], None] | None]
"""An outcome, and what is to be done before it is one."""


@dataclass(frozen=True)
class _Judges:
    """M and all detectors, and who watches them."""

    detectors: Mapping[Row, Detector]
    predictor: Predictor
    runtime: Runtime
    classes: Classes
    measure: Measure
    side: int
    watch: Callable[[Judged], Callable[[], None] | None] | None
    batch: int

    def __call__(self, read: Iterable[Future[_Read]]) -> Iterator[Future[_Ending]]:
        """Judge one image after the other, or several of one size at once."""
        for group in runs(read, _size, self.batch):
            yield from self._together(group) or [outcome(self._alone, each) for each in group]

    def _together(self, group: Sequence[Future[_Read]]) -> list[Future[_Ending]]:
        """None, if there is but one image, a part takes one at a time, or an image fails.

        If one of them is new, all are judged, so that a run that was interrupted forms the batches of one that was not.
        """
        images = [each.result() for each in group] if len(group) > 1 else []
        found = outcome(self._judged, [] if all(each.said for each in images) else images)
        return [] if found.exception() is not None else [outcome(self._watched, each) for each in found.result()]

    def _alone(self, read: Future[_Read]) -> _Ending:
        found = read.result()
        if found.said is not None:
            truth = self._truth(found.sample, found.said.label_map)
            return Outcome(found.index, found.original, found.sample, found.said, truth), None
        return self._watched(self._judged([found])[0])

    def _watched(self, judged: Judged) -> _Ending:
        return judged, None if self.watch is None else self.watch(judged)

    def _judged(self, read: Sequence[_Read]) -> list[Judged]:
        if not read:
            return []
        originals = self.runtime.send(torch.stack([each.original.image for each in read]))
        samples = self.runtime.send(torch.stack([each.sample.image for each in read]))
        with self.runtime.autocast():
            prediction = predicted(self.predictor, read[0].sample.id, originals)
        small = at_size(prediction, samples.shape[2:])
        if is_long(originals.shape[2:]):
            with self.runtime.autocast():
                found = judged(self._in_window, originals, prediction, self.predictor, samples.shape[2:])
        else:
            found = self._detections(samples, small)
        detections = {row: detection.parts(len(read)) for row, detection in found.items()}
        said = [
            Said(label_map, {row: parts[number] for row, parts in detections.items()})
            for number, label_map in enumerate(small.label_map.cpu())
        ]
        return [self._one(*each) for each in zip(read, prediction.parts(), said, strict=True)]

    def _one(self, read: _Read, prediction: Prediction, said: Said) -> Judged:
        truth = self._truth(read.sample, said.label_map)
        return Judged(read.index, read.original, read.sample, said, truth, prediction)

    def _in_window(self, image: Tensor, prediction: Prediction) -> dict[Row, Detection]:
        """What every row says of a window (1, C, *S) of a very long image, at the working size."""
        size = short_side(tuple(image.shape[2:]), self.side or min(image.shape[2:]))
        return self._detections(resize(image, size, antialias=True), at_size(prediction, size))

    def _detections(self, image: Tensor, prediction: Prediction) -> dict[Row, Detection]:
        """What every row says; a learned detector's raw error map has a row of its own before the whole."""
        found: dict[Row, Detection] = {}
        for row, detector in self.detectors.items():
            with self.runtime.autocast():
                detection = detector(image, prediction)
            _require_finite(str(row), detection)
            if detection.raw_error_map is not None:
                found[replace(row, raw=True)] = Detection(error_map=detection.raw_error_map)
            found[row] = detection
        return found

    def _truth(self, sample: Sample, predicted: Tensor) -> Truth | None:
        """What is true of a prediction; None without a label map."""
        label_map, ignore_index = sample.label_map, self.classes.ignore_index
        if label_map is None:
            return None
        quality = image_quality(self.measure, label_map, predicted, len(self.classes), ignore_index)
        return Truth(predicted != label_map, label_map != ignore_index, quality)


def _size(read: Future[_Read]) -> tuple[Size, Size] | None:
    """Of an image, as it came and at work; None of one that could not be read, or is judged in windows."""
    if read.exception() is not None or is_long(read.result().original.image.shape[1:]):
        return None
    return tuple(read.result().original.image.shape), tuple(read.result().sample.image.shape)


def _require_finite(name: str, detection: Detection) -> None:
    require_finite(name, detection.error_map, detection.raw_error_map, detection.anomaly_map)
    require_finite(name, detection.class_quality, detection.synthesis)


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
