"""score(monitor, inputs, out): images without ground truth through a monitor into an output folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from synthcp.data.finding import Input
from synthcp.errors import DataError, InputError, shortened
from synthcp.monitor.inputs import find_inputs, read_input
from synthcp.monitor.monitor import Monitor
from synthcp.report.annotate import forget_choice, write_choice
from synthcp.report.html import write_report
from synthcp.report.outputs import ResultsWriter
from synthcp.report.rows import ResultRow, row_of
from synthcp.report.score_files import write_scores
from synthcp.system.progress import Progress, silent
from synthcp.verbs.checks import METHOD, frame_of, require_grid, require_predictions, require_score_files
from synthcp.verbs.evaluate import METRICS
from synthcp.verbs.facts import run_settings
from synthcp.verbs.given import AnyMonitor, open_monitor
from synthcp.verbs.select import select


def score(
    monitor: AnyMonitor,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    budget: int | None = None,
    shard: str = "1/1",
    smiyc: str = "",
    progress: Progress = silent,
) -> list[ResultRow]:
    """Score images without ground truth: results.csv, regions.csv, maps/ and report.html.

    An image that cannot be scored becomes a row with status "error" that says why; all others are scored.

    Args:
        monitor: A monitor, or the folder of one.
        inputs: Images and folders of images; NIfTI files and folders of them for a monitor of volumes.
        out: Output folder.
        budget: Number of images to choose for annotation, in annotate.txt and annotate.csv; None chooses none.
        shard: Which part of the images to score: "i/n" takes every n-th, from the i-th on.
        smiyc: Data set of the SegmentMeIfYouCan toolkit for which score files are written; empty writes none.
        progress: Called after every image.

    Returns:
        The rows of results.csv.

    Raises:
        InputError: There is no image or no monitor, the folder cannot be written, or not one image can be scored.
    """
    number, count = parse_shard(shard)
    monitor = open_monitor(monitor)
    out, paths = Path(out), [Path(path) for path in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    found = find_inputs(paths, monitor.settings)
    files = found[number - 1 :: count]
    if not files:
        raise InputError(f"{len(found)} {monitor.settings.scored} are too few for shard {shard}; use fewer shards")
    require_predictions([file.id for file in files], monitor)
    if smiyc:
        require_score_files(files, monitor, out, smiyc)
    embeddings: dict[str, Tensor] | None = None if budget is None else {}
    with ResultsWriter(out, run_settings(monitor, "Scores", ", ".join(map(str, paths)))) as writer:
        rows = _Scorer(monitor, writer, smiyc, embeddings).rows(files, progress)
    _require_a_score(rows)
    (out / METRICS).unlink(missing_ok=True)  # of an evaluation that was here before
    forget_choice(out)
    if budget is not None and embeddings is not None:
        write_choice(out, _chosen(rows, embeddings, budget))
    write_report(out)
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


@dataclass(frozen=True)
class _Scorer:
    """A monitor, and what is written of every image; embeddings are kept where they are wanted."""

    monitor: Monitor
    writer: ResultsWriter
    smiyc: str
    embeddings: dict[str, Tensor] | None

    def rows(self, files: Sequence[Input], progress: Progress) -> list[ResultRow]:
        rows: list[ResultRow] = []
        for number, file in enumerate(files, start=1):
            rows.append(self._row(file))
            self.writer.add_row(rows[-1])
            progress("score", number, len(files), {})
        return rows

    def _row(self, file: Input) -> ResultRow:
        monitor = self.monitor
        try:
            image, grid = read_input(file, monitor.settings)
            require_grid(file, grid, monitor)
            prediction = monitor.predict(image[None], file.id)
            assessment = monitor.assess(image, file.id, prediction, None if grid is None else grid.size)
        except InputError as error:  # of the file, or of a model that cannot take it
            return ResultRow(file.id, file.source, status="error", message=str(error))
        if self.embeddings is not None:
            self.embeddings[file.id] = monitor.embed(image[None], prediction)[0].cpu()
        self.writer.write_maps(file.id, image, assessment, grid=grid)
        if self.smiyc and assessment.anomaly_map is not None:
            write_scores(self.writer.out, METHOD, self.smiyc, frame_of(file), assessment.anomaly_map)
        return row_of(file.id, file.source, assessment, monitor.classes, monitor.settings.usual.anomaly, grid=grid)


def _require_a_score(rows: Sequence[ResultRow]) -> None:
    failed = [row for row in rows if row.status == "error"]
    if len(failed) == len(rows):
        others = f" (and none of the {len(rows) - 1} others could be scored)" if len(rows) > 1 else ""
        raise DataError(failed[0].message + others)


def _chosen(rows: Sequence[ResultRow], embeddings: dict[str, Tensor], budget: int) -> list[ResultRow]:
    """The images to annotate: expected to be bad, and different from each other."""
    scored = [row for row in rows if row.id in embeddings]
    stacked = torch.stack([embeddings[row.id] for row in scored]).numpy()
    return [scored[index] for index in select([row.error_share for row in scored], stacked, budget)]
