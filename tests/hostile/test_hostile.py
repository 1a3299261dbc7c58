"""Every hostile case ends as documented; `make test` tries a selection, `make test-all` all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"


def attack(record_property: Callable[[str, object], None], *options: str) -> int:
    """Run attack.py, hand its last line to the summary, and return how many cases it tried."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "attack.py"), *options]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    last = (ended.stdout.splitlines() or [""])[-1]
    record_property("summary", f"hostile inputs: {last}")
    faults = [line for line in ended.stdout.splitlines() if line.startswith("FAULT")]
    assert ended.returncode == 0, "\n".join([*faults, last, ended.stderr])
    assert last.endswith("faults 0")
    return int(last.split()[1].rstrip(","))


def test_a_selection_of_hostile_inputs(record_property: Callable[[str, object], None]) -> None:
    assert attack(record_property, "--short") >= 25


@pytest.mark.slow
def test_all_hostile_inputs(record_property: Callable[[str, object], None]) -> None:
    assert attack(record_property) >= 150
