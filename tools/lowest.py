"""Print constraints that hold every library of pyproject.toml at the lowest version that it allows: lowest.py."""

from __future__ import annotations

import tomllib
from pathlib import Path

KEPT = {"torch": "2.13.0"}
"""Whose lowest version is not tried: its builds for the CPU lie outside of PyPI, and those on it are gigabytes."""


def main() -> None:
    """Print a line for each library that everything needs."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in project["dependencies"]:
        name, _, lowest = requirement.partition(">=")
        print(f"{name}=={KEPT.get(name, lowest)}")


if __name__ == "__main__":
    main()
