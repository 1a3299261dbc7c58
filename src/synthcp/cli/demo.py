"""synthcp demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from synthcp.cli.options import Out, Quiet, Seed, Threads, use_threads
from synthcp.system.progress import show_progress


def demo_verb(
    out: Out = Path("runs/demo"),
    volumes: Annotated[bool, typer.Option("--volumes", help="On drawn organs in volumes, written as NIfTI.")] = False,
    seed: Seed = 0,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Fit and evaluate on drawn streets; there is nothing to download."""
    use_threads(threads or 1)  # its networks are so small that a second thread costs more than it brings
    from synthcp.report.tables import summary
    from synthcp.verbs.demo import demo, volume_demo

    console = Console()
    with show_progress(console, quiet) as progress:
        results, report = (volume_demo if volumes else demo)(out, seed, progress)
    console.print(summary(results))
    typer.echo(f"report: {report}")
