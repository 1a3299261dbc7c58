"""synthcp merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthcp.cli.options import Out
from synthcp.cli.saying import say


def merge_verb(
    shards: Annotated[list[Path], typer.Argument(metavar="SHARD", help="The folders that score --shard wrote.")],
    out: Out,
) -> int:
    """Put the shards of one score run together.

    All of them must be there. What is written is what one run over all inputs would have written.
    """
    from synthcp.cli.score import failures_code
    from synthcp.verbs.merge import merge

    rows = merge(shards, out)
    say(f"{len(rows)} rows of {len(shards)} shards; report: {out / 'report.html'}; next: open it in a browser")
    return failures_code(rows, out, "inputs")
