"""The program: its verbs, and how every command ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Annotated

import typer

from synthcp import __version__
from synthcp.cli.audit import audit_verb
from synthcp.cli.calibrate import calibrate_verb
from synthcp.cli.demo import demo_verb
from synthcp.cli.doctor import doctor_verb
from synthcp.cli.eval import eval_verb
from synthcp.cli.exit_codes import BAD_INPUT, BROKEN_PIPE, FINE, INTERNAL_ERROR, INTERRUPTED, TERMINATED
from synthcp.cli.fit import fit_verb
from synthcp.cli.merge import merge_verb
from synthcp.cli.report import report_verb
from synthcp.cli.reproduce import reproduce_verb
from synthcp.cli.saying import warn
from synthcp.cli.score import score_verb
from synthcp.cli.serve import serve_verb
from synthcp.cli.watch_drift import watch_drift_verb
from synthcp.errors import SynthCPError, is_disk_full
from synthcp.system.telling import told_as_notes

app = typer.Typer(rich_markup_mode=None)
VERBS: dict[Callable[..., int | None], str] = {
    demo_verb: "demo --out runs/demo",
    fit_verb: "fit --data folder:street --out runs/a",
    calibrate_verb: "calibrate --monitor runs/a --data folder:street --split val",
    score_verb: "score images/ --monitor runs/a --out out/images",
    eval_verb: "eval --monitor runs/a --data folder:street --out out/a",
    audit_verb: "audit --monitor runs/a --data folder:street --out out/a",
    reproduce_verb: "reproduce table3 --data heldout:folder:street?classes=car",
    merge_verb: "merge out/part1 out/part2 --out out/images",
    report_verb: "report out/images",
    watch_drift_verb: "watch-drift out/monday out/tuesday --monitor runs/a",
    serve_verb: "serve --monitor runs/a --port 8000",
    doctor_verb: "doctor --data folder:street --fit",
}
"""Every verb with an example, whose first word is its name."""

COMPLETION = "_SYNTHCP_COMPLETE"
"""By this variable of the environment a shell asks, as `synthcp --install-completion` taught it."""
WAY_ON = "given again reproduce goes on where it stopped, and so does fit with --resume"
"""What to do after an interruption of what says nothing else."""

for verb, example in VERBS.items():
    app.command(example.split()[0], epilog=f"Example: synthcp {example}")(verb)


def main() -> None:
    """Run the program."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads that spin slow each other down
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that a terminal cannot write ends no command
    if COMPLETION in os.environ:  # a shell asks what may be written next
        app(prog_name="synthcp")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; every failure is one line on stderr."""
    try:
        with (
            _terminable(),
            told_as_notes(),
            typer.main.get_command(app).make_context("synthcp", arguments) as context,
        ):
            code = int(context.command.invoke(context) or FINE)
            sys.stdout.flush()
            return code
    except typer.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("SYNTHCP_DEBUG") == "1":
            raise
        message, code = _explain(error)
        _let_go_of_output()
        with suppress(OSError):  # nobody may read this either
            warn(" ".join(message.split()))
        return code


class Terminated(KeyboardInterrupt):
    """Another program asks this one to end (SIGTERM)."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM interrupt the command, so that it ends in order."""

    def terminate(number: int, frame: object) -> None:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread, which alone gets signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _let_go_of_output() -> None:
    """Write what was printed; where nobody reads it any more, let it vanish, also at the end of the program."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: BaseException) -> tuple[str, int]:
    """The line and the exit code that an error ends with."""
    if isinstance(error, typer.TyperException):
        return f"error: {error.format_message()} (see --help)", BAD_INPUT
    notes = "; ".join(getattr(error, "__notes__", ()))
    if isinstance(error, BrokenPipeError):
        told = "nobody reads the output any more (broken pipe), so the command stops; write it to a file instead"
        return f"error: {'; '.join(filter(None, (told, notes)))}", BROKEN_PIPE
    if isinstance(error, KeyboardInterrupt):
        what, code = ("terminated", TERMINATED) if isinstance(error, Terminated) else ("interrupted", INTERRUPTED)
        return f"{what}; {notes or WAY_ON}", code
    if is_disk_full(error):
        remedy = notes or ("" if isinstance(error, SynthCPError) else "make room, and give the command again")
        return "; ".join(filter(None, (f"error: {error}", remedy))), BAD_INPUT
    if isinstance(error, SynthCPError | OSError):
        return "; ".join(filter(None, (f"error: {error}", notes))), BAD_INPUT
    problem = "; ".join(filter(None, (f"{type(error).__name__}: {error}", notes)))
    return f"internal error: {problem}; set SYNTHCP_DEBUG=1 to see the traceback", INTERNAL_ERROR


@app.callback(invoke_without_command=True)
def program(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """An alarm system for semantic segmentation: where the model is wrong, and what it has never seen.

    Exit codes: 0 fine, 1 internal error, 2 usage or bad input, 3 some inputs failed, 4 an alarm under --fail-on-alarm,
    130 interrupted, 141 nobody reads the output any more, 143 terminated.
    """
    if version:
        typer.echo(f"synthcp {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
