"""What a check found: one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from synthcp.errors import SynthCPError

State = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: What was looked at.
        state: "good"; "note", worth knowing; or "bad", it stands in the way.
        what: What is there.
        remedy: What to do about it; empty where nothing has to be done.
    """

    name: str
    state: State
    what: str
    remedy: str = ""


def attempt(name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what a check finds; an error in it, of whatever kind, is a finding too."""
    try:
        return check()
    except Exception as error:  # of the user's own model or files, anything can come
        return [trouble(name, error)]


def trouble(name: str, error: Exception, state: State = "bad") -> Finding:
    """Return an error as a finding; the last part of a message of ours is the remedy."""
    message = " ".join(str(error).split())
    if not isinstance(error, SynthCPError | OSError):
        return Finding(name, state, f"{type(error).__name__}: {message}".rstrip(": "))
    what, _, remedy = message.rpartition("; ")
    return Finding(name, state, what or remedy, remedy if what else "")
