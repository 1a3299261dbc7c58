"""The program: its verbs, and how every command ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated

import typer

from synthcp import __version__
from synthcp.cli.audit import audit_verb
from synthcp.cli.calibrate import calibrate_verb
from synthcp.cli.demo import demo_verb
from synthcp.cli.doctor import doctor_verb
from synthcp.cli.eval import eval_verb
from synthcp.cli.exit_codes import BAD_INPUT, FINE, INTERNAL_ERROR, INTERRUPTED
from synthcp.cli.fit import fit_verb
from synthcp.cli.report import report_verb
from synthcp.cli.reproduce import reproduce_verb
from synthcp.cli.saying import warn
from synthcp.cli.score import score_verb
from synthcp.errors import SynthCPError
from synthcp.system.telling import told_as_notes

app = typer.Typer(add_completion=False, rich_markup_mode=None)
VERBS: dict[Callable[..., int | None], str] = {
    demo_verb: "demo --out runs/demo",
    fit_verb: "fit --data folder:street --out runs/a",
    calibrate_verb: "calibrate --monitor runs/a --data folder:street --split val",
    score_verb: "score images/ --monitor runs/a --out out/images",
    eval_verb: "eval --monitor runs/a --data folder:street --out out/a",
    audit_verb: "audit --monitor runs/a --data folder:street --out out/a",
    reproduce_verb: "reproduce table3 --data heldout:folder:street?classes=car",
    report_verb: "report out/images",
    doctor_verb: "doctor --data folder:street --fit",
}
"""Every verb with an example, whose first word is its name."""

for verb, example in VERBS.items():
    app.command(example.split()[0], epilog=f"Example: synthcp {example}")(verb)


def main() -> None:
    """Run the program."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads that spin slow each other down
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that a terminal cannot write ends no command
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; every failure is one line on stderr."""
    try:
        with told_as_notes(), typer.main.get_command(app).make_context("synthcp", arguments) as context:
            return int(context.command.invoke(context) or FINE)
    except typer.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("SYNTHCP_DEBUG") == "1":
            raise
        message, code = _explain(error)
        warn(" ".join(message.split()))
        return code


def _explain(error: BaseException) -> tuple[str, int]:
    """The line and the exit code that an error ends with."""
    if isinstance(error, typer.TyperException):
        return f"error: {error.format_message()} (see --help)", BAD_INPUT
    if isinstance(error, SynthCPError | OSError):
        return f"error: {error}", BAD_INPUT
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; given again reproduce goes on where it stopped, and so does fit with --resume", INTERRUPTED
    problem = f"{type(error).__name__}: {error}"
    return f"internal error: {problem}; set SYNTHCP_DEBUG=1 to see the traceback", INTERNAL_ERROR


@app.callback(invoke_without_command=True)
def program(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """An alarm system for semantic segmentation: where the model is wrong, and what it has never seen.

    Exit codes: 0 fine, 1 internal error, 2 usage or bad input, 3 some inputs failed, 4 an alarm under --fail-on-alarm.
    """
    if version:
        typer.echo(f"synthcp {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
