"""The small things are quick: what is imported for them says why, and does not depend on the machine as seconds do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "numpy",
    "scipy",
    "PIL",
    "safetensors",
    "jinja2",
    "matplotlib",
    "huggingface_hub",
    "fastapi",
    "nibabel",
}
"""What a verb needs when it begins, and not before."""
LOADED = (
    "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)), file=sys.stderr)"
)


def loaded(statement: str, **environment: str) -> set[str]:
    """The packages that a fresh interpreter has loaded for a statement, beside those with which it starts."""
    start, end = (
        subprocess.run(
            [sys.executable, "-c", f"import atexit, sys\natexit.register(lambda: {LOADED})\n{code}"],
            env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        )
        for code in ("", statement)
    )  # fmt: skip
    assert "Error" not in end.stderr, end.stderr
    before, after = (set(eval(run.stderr.splitlines()[-1])) for run in (start, end))
    return after - before


def test_the_package_loads_nothing_but_itself() -> None:
    assert loaded("import synthcp; dir(synthcp)") == {"synthcp"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["fit", "--help"], ["score", "--help"]])
def test_help_loads_no_library_that_computes(arguments: list[str]) -> None:
    assert loaded(f"sys.argv = ['synthcp', *{arguments}]; from synthcp.cli import main; main()").isdisjoint(HEAVY)


def test_completion_answers_and_loads_no_library_that_computes() -> None:
    words = {"_SYNTHCP_COMPLETE": "complete_bash", "COMP_WORDS": "synthcp fit --dry", "COMP_CWORD": "2"}
    assert loaded("sys.argv = ['synthcp']; from synthcp.cli import main; main()", **words).isdisjoint(HEAVY)
    command = [sys.executable, "-m", "synthcp"]
    answer = subprocess.run(command, env={**os.environ, **words}, capture_output=True, text=True)
    assert (answer.stdout.split(), answer.stderr) == (["--dry-run"], "")
