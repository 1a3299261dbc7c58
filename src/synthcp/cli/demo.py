"""synthcp demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from synthcp.cli.options import Out, Quiet, Seed, Threads, at_work, tell_failed
from synthcp.cli.saying import say, say_next, warn
from synthcp.system.progress import Terminal


def demo_verb(
    out: Out = Path("runs/demo"),
    volumes: Annotated[
        bool, typer.Option("--volumes", help="Draw organs in volumes, written as NIfTI, instead of streets.")
    ] = False,
    scale: Annotated[
        str, typer.Option(metavar="NAME", help="small; or tiny, for a few seconds whose numbers mean nothing.")
    ] = "small",
    seed: Seed = 0,
    threads: Threads = None,
    quiet: Quiet = False,
) -> int:
    """Fit and evaluate on drawn streets; there is nothing to download."""
    with at_work(threads or 1, quiet) as progress:  # a second thread costs its small networks more than it brings
        from synthcp.report.tables import summary
        from synthcp.verbs.demo import MEANINGLESS, DemoScale, demo
        from synthcp.verbs.facts import FAILED

        results, report = demo(out, volumes=volumes, scale=cast(DemoScale, scale), seed=seed, progress=progress)
    Terminal().print(summary(results))
    if scale == "tiny":
        warn(f"note: these numbers {MEANINGLESS}")
    say(f"report: {report}")
    say_next("score", "VOLUMES" if volumes else "IMAGES", "--monitor", out, "--out", Path("out") / out.name)
    return tell_failed(results.settings.get(FAILED, ""), "images")
