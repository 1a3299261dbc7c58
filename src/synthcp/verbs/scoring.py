"""The way of every image through `score`: read ahead of the networks, judged by them, and written behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from synthcp.data.finding import Input
from synthcp.data.nifti import Grid
from synthcp.errors import InputError
from synthcp.monitor.inputs import read_input
from synthcp.monitor.monitor import Monitor
from synthcp.records import Detection, Prediction
from synthcp.report.outputs import ResultsWriter
from synthcp.report.rows import ResultRow, row_from_json, row_of, row_to_json
from synthcp.report.score_files import write_scores
from synthcp.segmentation.loaded import fingerprint_of_files
from synthcp.system.failures import Failures
from synthcp.system.kept import Done, Work
from synthcp.system.pipeline import Pipeline, finished, outcome, runs
from synthcp.system.progress import Progress
from synthcp.verbs.checks import METHOD, frame_of, require_grid

WRITERS = 2
"""Threads that write maps, which takes longer than small networks do."""
_EMBEDDING = "embedding"


class Scored(NamedTuple):
    """A row, and what tells its image from others where that is wanted."""

    row: ResultRow
    embedding: Tensor | None = None


class Read(NamedTuple):
    """An image as it was read, the number of its input from 1, and a digest of its files; or what was kept of it."""

    number: int
    file: Input
    digest: str
    image: Tensor
    grid: Grid | None
    kept: Done | None = None


class Judged(NamedTuple):
    """What the networks say of an image."""

    read: Read
    prediction: Prediction
    detection: Detection
    embedding: Tensor | None


@dataclass
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
    """

    monitor: Monitor
    writer: ResultsWriter
    work: Work
    failures: Failures
    smiyc: str = ""
    embeds: bool = False
    batch: int = 1

    def __call__(self, files: Sequence[Input], progress: Progress) -> list[Scored]:
        """Score the images of files, in their order."""
        scored: list[Scored] = []
        with Pipeline() as pipeline:
            read = pipeline.stage(self._read, enumerate(files, start=1), ahead=self.batch)
            written = pipeline.stage(self._written, self._judged(read), threads=WRITERS, ahead=WRITERS)
            for number, file in enumerate(files, start=1):
                scored.append(self._told(file, next(written)))
                self.writer.add_row(scored[-1].row)
                progress("score", number, len(files), {})
        return scored

    def _read(self, numbered: tuple[int, Input]) -> Read:
        """The image of a file, unless the run knows from before it was interrupted what to say of it."""
        number, file = numbered
        digest = _digest_of(file)
        kept = self.work.kept(number, digest, file.source) if self.work.goes_on else None
        if kept is not None:
            return Read(number, file, digest, torch.empty(0), None, kept)
        image, grid = read_input(file, self.monitor.settings)
        require_grid(file, grid, self.monitor)
        return Read(number, file, digest, image, grid)

    def _judged(self, read: Iterable[Future[Read]]) -> Iterator[Future[Read | Judged]]:
        for group in runs(read, _size, self.batch):
            yield from self._together(group) or [outcome(self._alone, each) for each in group]

    def _together(self, group: Sequence[Future[Read]]) -> list[Future[Read | Judged]]:
        """Images of one size at once; none, if there is but one, M takes one at a time, or one of them fails."""
        if len(group) == 1:
            return []
        found = outcome(self._all, [each.result() for each in group])
        return [] if found.exception() is not None else [finished(each) for each in found.result()]

    def _alone(self, read: Future[Read]) -> Read | Judged:
        given = read.result()
        return given if given.kept is not None else self._all([given])[0]

    def _all(self, read: Sequence[Read]) -> Sequence[Judged]:
        monitor, first = self.monitor, read[0]
        images = first.image[None] if len(read) == 1 else torch.stack([each.image for each in read])
        prediction, detection = monitor.detect(images, first.file.id)
        embedded = monitor.embed(images, prediction).cpu() if self.embeds else None
        embeddings = [None] * len(read) if embedded is None else list(embedded)
        parts = zip(read, prediction.parts(), detection.parts(), embeddings, strict=True)
        return [Judged(*each) for each in parts]

    def _written(self, judged: Future[Read | Judged]) -> Scored:
        """The row of an image whose maps are written, and which is then done."""
        found = judged.result()
        if isinstance(found, Read):
            assert found.kept is not None
            return Scored(row_from_json(found.kept.text), found.kept.tensors.get(_EMBEDDING))
        scored = self._answered(found)
        tensors = {} if scored.embedding is None else {_EMBEDDING: scored.embedding}
        self.work.keep(found.read.number, Done(found.read.digest, row_to_json(scored.row), tensors))
        return scored

    def _answered(self, judged: Judged) -> Scored:
        (_, file, _, image, grid, _), monitor = judged.read, self.monitor
        size = tuple(image.shape[1:]) if grid is None else grid.size
        assessment = monitor.assessment(judged.prediction, judged.detection, size)
        self.writer.write_maps(file.id, image, assessment, grid=grid)
        if self.smiyc and assessment.anomaly_map is not None:
            write_scores(self.writer.out, METHOD, self.smiyc, frame_of(file), assessment.anomaly_map)
        unknown = monitor.settings.thresholds.anomaly
        row = row_of(file.id, file.source, assessment, monitor.classes, unknown, grid=grid)
        return Scored(row, judged.embedding)

    def _told(self, file: Input, written: Future[Scored]) -> Scored:
        """What was found out, or why it failed."""
        with self.failures.costing(file.id):
            return written.result()
        with suppress(OSError, InputError):
            self.writer.forget_maps(file.id)
        return Scored(ResultRow(file.id, file.source, status="error", message=self.failures.messages[file.id]))


def _size(read: Future[Read]) -> tuple[int, ...] | None:
    """Of an image that is to be judged, by which it may go with others; None of one that goes alone."""
    if read.exception() is not None or read.result().kept is not None:
        return None
    return tuple(read.result().image.shape)


def _digest_of(file: Input) -> str:
    """Of its contents; empty where they cannot be read, of which its row will tell."""
    try:
        return fingerprint_of_files(file.paths)
    except OSError:
        return ""
