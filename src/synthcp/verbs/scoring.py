"""The way of every image through `score`: read ahead of the networks, judged by them, and written behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from synthcp.comparison.long_images import is_long
from synthcp.data.finding import Input
from synthcp.data.nifti import Grid
from synthcp.errors import InputError
from synthcp.monitor.inputs import read_input
from synthcp.monitor.monitor import Monitor
from synthcp.records import Detection, Prediction
from synthcp.report.outputs import Drawn, ResultsWriter
from synthcp.report.rows import ResultRow, row_from_json, row_of, row_to_json
from synthcp.report.score_files import write_scores
from synthcp.segmentation.loaded import fingerprint_of_files
from synthcp.system.failures import Failures
from synthcp.system.kept import Done, Work
from synthcp.system.pipeline import Pipeline, finished, outcome, runs
from synthcp.system.progress import Progress
from synthcp.verbs.checks import METHOD, frame_of, require_grid

_EMBEDDING = "embedding"


class Scored(NamedTuple):
    """A row, and what tells its image from others where that is wanted."""

    row: ResultRow
    embedding: Tensor | None = None


class Read(NamedTuple):
    """An image (C, *S) as it was read, the number of its input, from 1, and a digest of its files."""

    number: int
    file: Input
    digest: str
    image: Tensor
    grid: Grid | None


class Answer(NamedTuple):
    """What is said of an image, and what is to be written of it."""

    number: int
    file: Input
    digest: str
    scored: Scored
    drawn: Drawn
    anomaly_map: Tensor | None


@dataclass(frozen=True)
class Scoring:
    """A monitor, and what is written of every image.

    Attributes:
        monitor: It judges.
        writer: Of the output folder.
        work: Where the run works.
        failures: Why images failed.
        smiyc: Data set of the SegmentMeIfYouCan toolkit for which score files are written; empty writes none.
        embeds: Whether images are told apart.
        batch: How many images of one size go through the networks together, at most.
        draws: Whether what M believes is drawn, also where the monitor judges without it.
    """

    monitor: Monitor
    writer: ResultsWriter
    work: Work
    failures: Failures
    smiyc: str = ""
    embeds: bool = False
    batch: int = 1
    draws: bool = False

    def __call__(self, files: Sequence[Input], progress: Progress) -> list[Scored]:
        """Score the images of files, in their order."""
        scored: list[Scored] = []
        with Pipeline() as pipeline:
            read = pipeline.stage(self._read, enumerate(files, start=1), ahead=self.batch)
            written = pipeline.stage(self._written, self._answered(read))
            for number, file in enumerate(files, start=1):
                scored.append(self._told(file, next(written)))
                self.writer.add_row(scored[-1].row)
                progress("score", number, len(files), {})
        return scored

    def _read(self, numbered: tuple[int, Input]) -> Read | Scored:
        """The image of a file, or what was said of it before the run was interrupted."""
        number, file = numbered
        digest = _digest_of(file)
        kept = self.work.kept(number, digest, file.source)
        if kept is not None:
            return Scored(row_from_json(kept.text), kept.tensors.get(_EMBEDDING))
        image, grid = read_input(file, self.monitor.settings)
        require_grid(file, grid, self.monitor)
        return Read(number, file, digest, image, grid)

    def _answered(self, read: Iterable[Future[Read | Scored]]) -> Iterator[Future[Answer | Scored]]:
        for group in runs(read, _size, self.batch):
            answers = self._together(group) or [outcome(self._alone, each) for each in group]
            del group  # whose images are needed no more
            yield from answers

    def _together(self, group: Sequence[Future[Read | Scored]]) -> list[Future[Answer | Scored]]:
        """Answers for images of one size; none, if there is but one, M takes one at a time, or one of them fails."""
        images = [each.result() for each in group] if len(group) > 1 else []
        found = outcome(self._answers, [each for each in images if isinstance(each, Read)])
        return [] if found.exception() is not None else [finished(each) for each in found.result()]

    def _alone(self, read: Future[Read | Scored]) -> Answer | Scored:
        found = read.result()
        return self._answers([found])[0] if isinstance(found, Read) else found

    def _answers(self, read: Sequence[Read]) -> list[Answer]:
        """What M, G and F say of images of one size, and what follows from it."""
        if not read:
            return []
        monitor = self.monitor
        images = torch.stack([each.image for each in read]) if len(read) > 1 else read[0].image[None]
        prediction, detection = monitor.detect(images, read[0].file.id)
        if self.draws and detection.synthesis is None:
            detection = replace(detection, synthesis=monitor.draw(images, prediction))
        embedded = list(monitor.embed(images, prediction).cpu()) if self.embeds else [None] * len(read)
        parts = zip(read, prediction.parts(), detection.parts(len(read)), embedded, strict=True)
        return [self._answer(*each) for each in parts]

    def _answer(self, read: Read, prediction: Prediction, detection: Detection, embedding: Tensor | None) -> Answer:
        number, file, digest, image, grid = read
        monitor, unknown = self.monitor, self.monitor.settings.thresholds.anomaly
        assessment = monitor.assessment(prediction, detection, image.shape[1:] if grid is None else grid.size)
        row = row_of(file.id, file.source, assessment, monitor.classes, unknown, grid=grid)
        drawn = self.writer.draw(file.id, image, assessment, grid=grid)
        anomaly_map = assessment.anomaly_map if self.smiyc else None
        return Answer(number, file, digest, Scored(row, embedding), drawn, anomaly_map)

    def _written(self, answered: Future[Answer | Scored]) -> Scored:
        """A row; its image is done when all that there is of it has been written."""
        answer = answered.result()
        if isinstance(answer, Scored):
            return answer
        self.writer.write(answer.drawn)
        if answer.anomaly_map is not None:
            write_scores(self.writer.out, METHOD, self.smiyc, frame_of(answer.file), answer.anomaly_map)
        row, embedding = answer.scored
        tensors = {} if embedding is None else {_EMBEDDING: embedding}
        self.work.keep(answer.number, Done(answer.digest, row_to_json(row), tensors))
        return answer.scored

    def _told(self, file: Input, written: Future[Scored]) -> Scored:
        """What was found out, or why it failed."""
        with self.failures.costing(file.id):
            return written.result()
        with suppress(OSError, InputError):
            self.writer.forget_maps(file.id)
        return Scored(ResultRow(file.id, file.source, status="error", message=self.failures.messages[file.id]))


def _size(read: Future[Read | Scored]) -> tuple[int, ...] | None:
    """Of an image that is to be judged, by which it may go with others; None of one that goes alone."""
    found = None if read.exception() is not None else read.result()
    if not isinstance(found, Read) or is_long(found.image.shape[1:]):
        return None
    return tuple(found.image.shape)


def _digest_of(file: Input) -> str:
    """Of its contents; empty where they cannot be read, of which its row will tell."""
    try:
        return fingerprint_of_files(file.paths)
    except OSError:
        return ""
