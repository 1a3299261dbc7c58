"""judge(detectors, predictor, dataset) -> Results: one loop, in which M and every detector see each image once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.comparison.long_images import is_long, judged, predicted, working_side
from synthcp.data.base import Dataset
from synthcp.data.readable import Readable
from synthcp.data.transforms import short_side
from synthcp.data.working_size import resized
from synthcp.evaluation.judgement import Judged, Judgement, Said, Truth, region_of_interest
from synthcp.evaluation.results import DEFAULT_PROTOCOLS, Results, Row
from synthcp.evaluation.running_scores import RunningScores
from synthcp.metrics.overlap import image_quality
from synthcp.nn.finite import require_finite
from synthcp.nn.spatial import resize
from synthcp.records import Classes, Detection, Measure, Prediction, Sample, measure_of
from synthcp.segmentation.base import Predictor, at_size
from synthcp.system.failures import Costing, raising
from synthcp.system.pipeline import Pipeline, outcome, runs
from synthcp.system.runtime import Runtime

Name = TypeVar("Name", bound=str | Row)
Size = tuple[int, ...]


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
    scores = RunningScores(classes, measure, protocols)

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


def _ended(judged: Future[_Ending]) -> Judgement:
    """The outcome of an image when all that belongs to it is done."""
    found, rest = judged.result()
    if rest is not None:
        rest()
    return found


_Ending = tuple[Judgement, Callable[[], None] | None]
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
            return Judgement(found.index, found.original, found.sample, found.said, truth), None
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
