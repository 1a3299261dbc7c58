"""The program `synthcp`, one file per verb. Torch is imported inside the verbs, so that help is instant."""

from synthcp.cli.program import main, run

__all__ = ["main", "run"]
