"""score(monitor, inputs, out): images without ground truth through a monitor into an output folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from synthcp.errors import InputError, shortened
from synthcp.monitor.inputs import find_inputs
from synthcp.report.annotate import write_choice
from synthcp.report.html import write_report
from synthcp.report.maps import MapFiles
from synthcp.report.outputs import ResultsWriter
from synthcp.report.rows import ResultRow
from synthcp.system.failures import LOG, Failures
from synthcp.system.output_folder import output_folder
from synthcp.system.progress import Progress, silent
from synthcp.verbs.checks import (
    require_apart,
    require_maps,
    require_own_folder,
    require_predictions,
    require_score_files,
    require_some,
)
from synthcp.verbs.facts import digest_of, identity, run_begun, run_settings
from synthcp.verbs.given import AnyMonitor, open_monitor
from synthcp.verbs.scoring import Scored, Scoring
from synthcp.verbs.select import select


def score(
    monitor: AnyMonitor,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    budget: int | None = None,
    shard: str = "1/1",
    smiyc: str = "",
    maps: MapFiles = "png",
    report: bool = True,
    draw: bool = False,
    batch: int = 1,
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
        maps: How the maps are written: "png" as pictures (of volumes also as NIfTI files), "npz" as arrays, or "none".
        report: Whether report.html is written.
        draw: Whether maps and report show G's drawing also where the monitor judges without it (see Learnt.direct).
        batch: How many images of one size go through the networks together, at most. The results are those of single
            images within 1e-5, so that a run that was interrupted may differ by as much from one that was not.
        resume: Go on from what the same run has done, if it was interrupted.
        progress: Called after every image.

    Returns:
        The rows of results.csv.

    Raises:
        InputError: There is no image or no monitor, the folder cannot be written or replaced, another run is at work on
            it, or not one image can be scored, which the folder then says of each.
    """
    number, count = parse_shard(shard)
    require_maps(maps)
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
        "kind of maps": maps,
        "draw": str(draw),
    }
    part = f"{number}/{count}" if count > 1 else ""
    require_own_folder(out, part)
    require_apart(out, monitor, (path for file in found for path in file.paths))
    settings = run_settings(monitor, "Scores", ", ".join(map(str, paths)))
    settings = replace(settings, maps=maps, shard=part, run=digest_of(*whole.values()) if part else "")
    together = 1 if monitor.segmenter is None else batch
    with output_folder(out, {"verb": "score"} | whole | {"shard": part}, resume) as work:
        failures = Failures(work.new / LOG)
        with ResultsWriter(work.new, run_begun(work, settings)) as writer:
            embeds = budget is not None
            scoring = Scoring(monitor, writer, work, failures, smiyc, embeds=embeds, batch=together, draws=draw)
            scored = scoring(files, progress)
        rows = [one.row for one in scored]
        if budget is not None:
            write_choice(work.new, _chosen(scored, budget))
        if report:
            write_report(work.new, glances=writer.glances)
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


def _chosen(scored: Sequence[Scored], budget: int) -> list[ResultRow]:
    """The images to annotate: expected to be bad, and different from each other."""
    known = [(one.row, one.embedding) for one in scored if one.embedding is not None]
    if not known:
        return []
    stacked = torch.stack([embedding for _, embedding in known]).numpy()
    return [known[index][0] for index in select([row.error_share for row, _ in known], stacked, budget)]
