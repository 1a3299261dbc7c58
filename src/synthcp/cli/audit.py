"""synthcp audit."""

from __future__ import annotations

from typing import Annotated

import typer

from synthcp.cli import options
from synthcp.cli.options import at_work, load_monitor, tell_failed
from synthcp.cli.saying import say, say_next


def audit_verb(
    data: options.DataSpec,
    monitor: options.MonitorFolder,
    out: options.Out,
    most: Annotated[
        int, typer.Option(parser=options.MOST, metavar="N", help="Largest number of suspects to report.")
    ] = 200,
    split: options.Split = "train",
    model: options.Model = None,
    predictions: options.Predictions = None,
    trust_code: options.TrustCode = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> int:
    """Rank likely label errors of labelled images.

    Writes suspects.csv and audit.html, worst first: regions where another label explains the image better.
    """
    with at_work(threads, quiet) as progress:
        from synthcp.system.files import load_json
        from synthcp.verbs.audit.run import FACTS, audit
        from synthcp.verbs.facts import FAILED
        from synthcp.verbs.given import open_data

        dataset, facts = open_data(data, split)
        opened = load_monitor(monitor, model, predictions, device, precision, trust_code=trust_code)
        suspects = audit(opened, dataset, out, most=most, seed=seed, facts=facts, progress=progress)
    say(f"{len(suspects)} suspects in {len(dataset)} images; report: {out / 'audit.html'}")
    say_next("fit", "--data", facts["data"], "--out", "RUN")
    return tell_failed(load_json(out / FACTS).get(FAILED, ""), opened.settings.scored)
