"""The images to annotate, in the order of the choice: annotate.txt for a program, annotate.csv with the numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from synthcp.report.csv_files import COUNT, TEXT, read_table
from synthcp.report.rows import ResultRow
from synthcp.system.files import save_text

LIST, TABLE = "annotate.txt", "annotate.csv"


def write_choice(out: Path, chosen: Sequence[ResultRow]) -> None:
    """Write annotate.txt, one source per line, and annotate.csv, which has sources of several lines too.

    Raises:
        InputError: The folder is not writable.
    """
    save_text(out / LIST, "".join(f"{row.source}\n" for row in chosen if len(row.source.splitlines()) == 1))
    table = io.StringIO()
    lines = csv.writer(table)
    lines.writerow(["rank", "id", "source", "error_share"])
    for rank, row in enumerate(chosen, start=1):
        lines.writerow([rank, TEXT.write(row.id), TEXT.write(row.source), f"{row.error_share:.6g}"])
    save_text(out / TABLE, table.getvalue())


def read_choice(out: Path) -> dict[str, int]:
    """Rank, from 1, of every chosen image by id; empty when nothing was chosen.

    Raises:
        InputError: The table is broken.
    """
    if not (out / TABLE).is_file():
        return {}
    return dict(read_table(out / TABLE, ("rank", "id"), lambda line: (TEXT.read(line["id"]), _rank(line["rank"]))))


def _rank(cell: str) -> int:
    rank = COUNT.read(cell)
    if not rank:
        raise ValueError(f"{cell!r} is no rank; ranks count from 1")
    return int(rank)
