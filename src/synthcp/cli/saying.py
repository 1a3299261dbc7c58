"""What the program says, line by line; names in it are shown, never raw."""

from __future__ import annotations

import sys

import typer

from synthcp.errors import shown


def say(line: str) -> None:
    """Print a line of the result."""
    typer.echo(shown(line))


def warn(line: str) -> None:
    """Print a line on stderr."""
    print(shown(line), file=sys.stderr)
