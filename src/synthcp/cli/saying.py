"""What the program says, line by line; names in it are shown, never raw."""

from __future__ import annotations

import shlex
import sys

import typer

from synthcp.errors import shown


def say(line: str) -> None:
    """Print a line of the result."""
    typer.echo(shown(line))


def say_next(*command: object) -> None:
    """Print the command that comes next, as one would type it; a word in capitals stands for what the user has."""
    say(f"next: {shlex.join(map(str, ('synthcp', *command)))}")


def warn(line: str) -> None:
    """Print a line on stderr."""
    print(shown(line), file=sys.stderr)
