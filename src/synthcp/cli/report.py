"""synthcp report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthcp.cli.saying import say


def report_verb(out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that score or eval wrote.")]) -> None:
    """Write the report of an output folder again."""
    from synthcp.report.html import write_report
    from synthcp.system.output_folder import changing

    with changing(out):
        page = write_report(out)
    say(f"report: {page}; next: open it in a browser")
