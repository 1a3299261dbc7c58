"""score(monitor, inputs, out): images without ground truth through a monitor into an output folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from synthcp.data.finding import Input
from synthcp.errors import InputError, shortened
from synthcp.monitor.inputs import find_inputs, read_input
from synthcp.monitor.monitor import Monitor
from synthcp.report.annotate import write_choice
from synthcp.report.html import write_report
from synthcp.report.outputs import ResultsWriter
from synthcp.report.rows import ResultRow, row_from_json, row_of, row_to_json
from synthcp.report.score_files import write_scores
from synthcp.segmentation.loaded import fingerprint_of_files
from synthcp.system.failures import LOG, Failures
from synthcp.system.kept import Done, Work
from synthcp.system.output_folder import output_folder
from synthcp.system.progress import Progress, silent
from synthcp.verbs.checks import (
    METHOD,
    frame_of,
    require_apart,
    require_grid,
    require_own_folder,
    require_predictions,
    require_score_files,
    require_some,
)
from synthcp.verbs.facts import digest_of, identity, run_begun, run_settings
from synthcp.verbs.given import AnyMonitor, open_monitor
from synthcp.verbs.select import select

_EMBEDDING = "embedding"


def score(
    monitor: AnyMonitor,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    budget: int | None = None,
    shard: str = "1/1",
    smiyc: str = "",
    resume: bool = False,
    progress: Progress = silent,
) -> list[ResultRow]:
    """Score images without ground truth: results.csv, regions.csv, maps/ and report.html.

    An image that cannot be scored becomes a row with status "error" that says why; all others are scored.

    Args:
        monitor: A monitor, or the folder of one.
        inputs: Images and folders of images; NIfTI files and folders of them for a monitor of volumes.
        out: Output folder: new, empty, or that of an older run, which is replaced as a whole.
        budget: Number of images to choose for annotation, in annotate.txt and annotate.csv; None chooses none.
        shard: Which part of the images to score: "i/n" takes every n-th, from the i-th on.
        smiyc: Data set of the SegmentMeIfYouCan toolkit for which score files are written; empty writes none.
        resume: Go on from what the same run has done, if it was interrupted.
        progress: Called after every image.

    Returns:
        The rows of results.csv.

    Raises:
        InputError: There is no image or no monitor, the folder cannot be written or replaced, another run is at work on
            it, or not one image can be scored, which the folder then says of each.
    """
    number, count = parse_shard(shard)
    monitor = open_monitor(monitor)
    out, paths = Path(out), [Path(path) for path in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    found = find_inputs(paths, monitor.settings)
    files = found[number - 1 :: count]
    if not files:
        raise InputError(f"{len(found)} {monitor.settings.scored} are too few for shard {shard}; use fewer shards")
    require_predictions([file.id for file in found], monitor)  # of all shards, for a file serves one image
    if smiyc:
        require_score_files(found, monitor, out, smiyc)
    whole = identity(monitor) | {
        "list of inputs": digest_of(*(f"{file.id} {file.source}" for file in found)),
        "smiyc": smiyc,
        "budget": str(budget),
    }
    part = f"{number}/{count}" if count > 1 else ""
    require_own_folder(out, part)
    require_apart(out, monitor, (path for file in found for path in file.paths))
    settings = run_settings(monitor, "Scores", ", ".join(map(str, paths)))
    settings = replace(settings, shard=part, run=digest_of(*whole.values()) if part else "")
    with output_folder(out, {"verb": "score"} | whole | {"shard": part}, resume) as work:
        failures = Failures(work.new / LOG)
        with ResultsWriter(work.new, run_begun(work, settings)) as writer:
            scorer = _Scorer(monitor, writer, smiyc, budget is not None, work, failures)
            scored = scorer.scored(files, progress)
        rows = [one.row for one in scored]
        if budget is not None:
            write_choice(work.new, _chosen(scored, budget))
        write_report(work.new)
    require_some(failures, len(files), "scored")
    return rows


def parse_shard(text: str) -> tuple[int, int]:
    """Read "i/n": part i of n, dealt out in turn; parts share nothing and together are the whole.

    Raises:
        InputError: There is no such part.
    """
    parts = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not parts or not 1 <= int(parts[1]) <= int(parts[2]):
        raise InputError(f"shard {shortened(text)}: write i/n with i from 1 to n, n at most 999999, such as 1/4")
    return int(parts[1]), int(parts[2])


class Scored(NamedTuple):
    """A row, and what tells its image from others where that is wanted."""

    row: ResultRow
    embedding: Tensor | None = None


@dataclass(frozen=True)
class _Scorer:
    """A monitor, and what is written of every image."""

    monitor: Monitor
    writer: ResultsWriter
    smiyc: str
    embeds: bool
    work: Work
    failures: Failures

    def scored(self, files: Sequence[Input], progress: Progress) -> list[Scored]:
        scored: list[Scored] = []
        for number, file in enumerate(files, start=1):
            scored.append(self._one(number, file))
            self.writer.add_row(scored[-1].row)
            progress("score", number, len(files), {})
        return scored

    def _one(self, number: int, file: Input) -> Scored:
        """What is kept of the image, what is found out now, or why it fails."""
        digest = _digest_of(file)
        done = self.work.kept(number, digest, file.source)
        if done is not None:
            return Scored(row_from_json(done.text), done.tensors.get(_EMBEDDING))
        with self.failures.costing(file.id):
            scored = self._scored(file)
            tensors = {} if scored.embedding is None else {_EMBEDDING: scored.embedding}
            self.work.keep(number, Done(digest, row_to_json(scored.row), tensors))
            return scored
        with suppress(OSError, InputError):
            self.writer.forget_maps(file.id)
        return Scored(ResultRow(file.id, file.source, status="error", message=self.failures.messages[file.id]))

    def _scored(self, file: Input) -> Scored:
        monitor = self.monitor
        image, grid = read_input(file, monitor.settings)
        require_grid(file, grid, monitor)
        prediction = monitor.predict(image[None], file.id)
        assessment = monitor.assess(image, file.id, prediction, None if grid is None else grid.size)
        embedding = monitor.embed(image[None], prediction)[0].cpu() if self.embeds else None
        self.writer.write_maps(file.id, image, assessment, grid=grid)
        if self.smiyc and assessment.anomaly_map is not None:
            write_scores(self.writer.out, METHOD, self.smiyc, frame_of(file), assessment.anomaly_map)
        unknown = monitor.settings.thresholds.anomaly
        return Scored(row_of(file.id, file.source, assessment, monitor.classes, unknown, grid=grid), embedding)


def _digest_of(file: Input) -> str:
    """Of its contents; empty where they cannot be read, of which its row will tell."""
    try:
        return fingerprint_of_files(file.paths)
    except OSError:
        return ""


def _chosen(scored: Sequence[Scored], budget: int) -> list[ResultRow]:
    """The images to annotate: expected to be bad, and different from each other."""
    known = [(one.row, one.embedding) for one in scored if one.embedding is not None]
    if not known:
        return []
    stacked = torch.stack([embedding for _, embedding in known]).numpy()
    return [known[index][0] for index in select([row.error_share for row, _ in known], stacked, budget)]
