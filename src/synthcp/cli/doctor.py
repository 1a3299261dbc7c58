"""synthcp doctor."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from synthcp.cli.exit_codes import BAD_INPUT, FINE
from synthcp.cli.options import FOLDER_OR_HUB, Device, Model, Threads, TrustCode, use_threads
from synthcp.cli.saying import say, say_next
from synthcp.errors import shown
from synthcp.system.progress import Terminal

if TYPE_CHECKING:
    from synthcp.doctor.base import Finding, Scope

STYLES = {"good": "green", "note": "yellow", "bad": "bold red"}


def doctor_verb(
    data: Annotated[str, typer.Option(metavar="SPEC", help="Labelled images to look at, as fit takes them.")] = "",
    every_image: Annotated[bool, typer.Option("--all", help="Look at every image instead of 200.")] = False,
    model: Model = None,
    features: Annotated[str, typer.Option(metavar="MODULE", help="The module whose input is f_M.")] = "",
    monitor: Annotated[Path | None, FOLDER_OR_HUB] = None,
    trust_code: TrustCode = False,
    fit: Annotated[bool, typer.Option("--fit", help="Try a few steps of a fit and say what all of it costs.")] = False,
    scale: Annotated[str, typer.Option(metavar="NAME", help="Scale of that fit: tiny, small or full.")] = "small",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder that the fit would write.")] = Path("runs"),
    device: Device = "auto",
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON lines.")] = False,
) -> int:
    """Say what is right and wrong here: libraries, machine, a data set, a model, a monitor.

    Each finding is good, a note or bad; one that is bad ends with exit code 2.
    """
    from synthcp.doctor.strided import begin

    begin()  # beside the import of torch, which takes as long
    use_threads(threads)
    from synthcp.doctor.base import Scope
    from synthcp.doctor.examine import examine
    from synthcp.segmentation.catalogue import BUILT_IN

    scope = Scope(
        data=data,
        every_image=every_image,
        model=model or BUILT_IN,
        features=features,
        monitor="" if monitor is None else str(monitor),
        trust_code=trust_code,
        fit=fit,
        scale=scale,
        out=str(out),
        device=device,
    )
    states = Counter[str]()
    for title, findings in examine(scope):
        states.update(finding.state for finding in findings)
        _print_json(findings) if as_json else Terminal().print(_table(title, findings))
    if not as_json:
        say(f"{states['good']} good, {states['note']} to note, {states['bad']} bad")
        _say_next(scope, states["bad"])
    return BAD_INPUT if states["bad"] else FINE


def _say_next(scope: Scope, bad: int) -> None:
    """The command by which the user gets on."""
    if bad:
        say("next: mend what is bad, as its remedy says, and give the command again")
    elif scope.monitor:
        say_next("score", "IMAGES", "--monitor", scope.monitor, "--out", Path("out") / Path(scope.monitor).name)
    elif scope.data:
        say_next("fit", "--data", scope.data, *(() if scope.fit else ("--dry-run",)))
    else:
        say_next("doctor", "--data", "SPEC")


def _print_json(findings: list[Finding]) -> None:
    for finding in findings:
        print(json.dumps(asdict(finding)))


def _table(title: str, findings: list[Finding]) -> Table:
    """Texts, no markup: "[" may be part of them, and whatever a name holds."""
    table = Table("Name", "State", "What", "Remedy", title=Text(title, "bold"), title_justify="left", box=SIMPLE)
    for finding in findings:
        state = Text(finding.state, STYLES[finding.state])
        told = [Text(shown(text)) for text in (finding.name, finding.what, finding.remedy)]
        table.add_row(told[0], state, *told[1:])
    return table
