"""merge(shards, out): the folders of the shards of one run into the folder of the whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path

from synthcp.errors import InputError
from synthcp.report.annotate import LIST, TABLE, read_choice, write_choice
from synthcp.report.cards import FILES as DRAWN
from synthcp.report.html import write_report
from synthcp.report.outputs import RUN, ResultsWriter, RunSettings, read_settings
from synthcp.report.rows import REGIONS, RESULTS, ResultRow, read_rows
from synthcp.system.failures import LOG
from synthcp.system.files import writing
from synthcp.system.output_folder import FILES, listed, output_folder
from synthcp.system.provenance import command_line, now
from synthcp.verbs.score import parse_shard

_MADE_ANEW = {RUN, RESULTS, REGIONS, LIST, TABLE, LOG, FILES, "report.html"}


@dataclass(frozen=True)
class Shard:
    """The folder of a part of a run.

    Attributes:
        folder: That score wrote.
        settings: Of its run.json.
        number: Which part it is, from 1.
        count: How many parts there are.
    """

    folder: Path
    settings: RunSettings
    number: int
    count: int


def merge(shards: Sequence[str | Path], out: str | Path) -> list[ResultRow]:
    """Put the shards of one `score` run together: the rows in the order of the inputs, all maps, one report.

    Images that were chosen for annotation in each shard are listed in turn, the first choice of each shard first.

    Args:
        shards: The folders that `score` wrote, of every shard one, in any order.
        out: Output folder: new, empty, or that of an older run, which is replaced as a whole.

    Returns:
        The rows of results.csv.

    Raises:
        InputError: A folder holds no shard, they are not of one run, one is missing or given twice, a file of a shard
            is missing, damaged or of the same name in another, or the output folder cannot be written or replaced.
    """
    parts, out = _parts([Path(shard) for shard in shards]), Path(out)
    _require_apart(out, parts)
    tables = _tables(parts)
    rows = _in_turn(tables)
    settings = replace(parts[0].settings, shard="", run="", command=command_line(), created=now())
    with output_folder(out) as work:
        with ResultsWriter(work.new, settings) as writer:
            for row in rows:
                writer.add_row(row)
        for part in parts:
            _take_over(part, work.new)
        chosen = _in_turn([_chosen(part, table) for part, table in zip(parts, tables, strict=True)])
        if any((part.folder / TABLE).is_file() for part in parts):
            write_choice(work.new, chosen)
        write_report(work.new)
    return rows


def _require_apart(out: Path, parts: Sequence[Shard]) -> None:
    """Refuse an output folder that is or holds a shard: it is replaced as a whole."""
    for part in parts:
        if part.folder.resolve().is_relative_to(out.resolve()):
            what = "is" if part.folder.resolve() == out.resolve() else f"holds {part.folder},"
            raise InputError(f"{out} {what} one of the shards; put them together in another folder")


def _parts(folders: Sequence[Path]) -> list[Shard]:
    """The shards by number, each there once."""
    found = sorted(map(_shard_of, folders), key=lambda part: part.number)
    first = found[0]
    for part in found[1:]:
        if (part.settings.run, part.count) != (first.settings.run, first.count):
            raise InputError(
                f"{first.folder} and {part.folder} are not of one run: inputs, monitor and options must be the same"
            )
    for before, part in zip(found, found[1:], strict=False):
        if before.number == part.number:
            raise InputError(
                f"{before.folder} and {part.folder} are both shard {part.settings.shard}; give one of them"
            )
    missing = sorted(set(range(1, first.count + 1)) - {part.number for part in found})
    if missing:
        raise InputError(f"shard {missing[0]}/{first.count} is missing; score it, and give the folders of all shards")
    return found


def _tables(parts: Sequence[Shard]) -> list[list[ResultRow]]:
    """The rows of every shard, as many as inputs were dealt out to it."""
    tables = [read_rows(part.folder) for part in parts]
    total = sum(map(len, tables))
    for part, table in zip(parts, tables, strict=True):
        dealt = len(range(part.number - 1, total, part.count))
        if len(table) != dealt:
            raise InputError(
                f"{part.folder / RESULTS} has {len(table)} rows where shard {part.settings.shard} of {total} inputs "
                f"has {dealt}; score that shard again"
            )
    return tables


def _shard_of(folder: Path) -> Shard:
    settings = read_settings(folder)
    try:
        return Shard(folder, settings, *parse_shard(settings.shard))
    except InputError as error:
        raise InputError(f"{folder} holds no shard; give folders that synthcp score --shard wrote") from error


def _in_turn(lists: Sequence[Sequence[ResultRow]]) -> list[ResultRow]:
    """The first of each list, then the second of each: as inputs were dealt out."""
    return [row for row in chain.from_iterable(zip_longest(*lists)) if row is not None]


def _take_over(part: Shard, new: Path) -> None:
    """Take over maps and score files as they are, and add the log to that of the others."""
    names = listed(part.folder)
    for name in sorted(names - _MADE_ANEW):
        if not name.startswith(f"{DRAWN}/"):  # which the report draws anew
            _link(part.folder / name, new / name)
    if LOG in names:
        with writing(new / LOG), open(new / LOG, "ab") as log:
            log.write((part.folder / LOG).read_bytes())


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that cannot be."""
    if not source.is_file():
        raise InputError(f"{source} is missing or no file, and its run wrote one; score that shard again")
    if target.exists():
        raise InputError(f"{source} is of the same name in another shard; a file is of one image; score them again")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)


def _chosen(part: Shard, rows: Sequence[ResultRow]) -> list[ResultRow]:
    ranks = read_choice(part.folder)
    return sorted((row for row in rows if row.id in ranks), key=lambda row: ranks[row.id])
