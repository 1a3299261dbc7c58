"""A part is one file and one line: toys of tests/additions are found wherever their catalogues are used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ADDITIONS = TESTS / "additions"
FIT_EVALUATE_REPRODUCE = """
import sys
from dataclasses import replace
from pathlib import Path
import toys, torch
import synthcp
from synthcp.config.scales import SCALES
from synthcp.experiments.request import TableRequest
from synthcp.experiments.tables import TABLES, reproduce

torch.set_num_threads(1)
tiny, out = SCALES["tiny"], Path(sys.argv[1])
steps = {name: replace(getattr(tiny, name), steps=3) for name in ("segmentation", "gan", "comparator")}
scale = replace(tiny, side=32, **steps)
config = synthcp.FitConfig(scale=scale, model="toy", generator="toy", device="cpu", precision="fp32")
data = synthcp.open_dataset("toy:?count=6")
monitor = synthcp.fit(data, out / "run", config, facts={"data": "toy:?count=6"})
print(type(monitor.segmenter).__module__, type(synthcp.Monitor.load(out / "run", "cpu").generator).__module__)
results = synthcp.evaluate(out / "run", "toy:?count=3", out / "eval", detectors=["msp", "toy"])
print([result.name for result in results.detectors])
tests = ("toy:?count=3",)
config = synthcp.FitConfig(scale=scale, device="cpu", precision="fp32")
request = TableRequest("toy:?count=6", out / "table", tests, config, seeds=1)
print(reproduce(TABLES["toy"], request))
"""


def run(*command: str | Path) -> str:
    paths = os.pathsep.join(filter(None, (str(ADDITIONS), os.environ.get("PYTHONPATH"))))
    ended = subprocess.run(
        [sys.executable, *map(str, command)], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert ended.returncode in (0, 1), ended.stderr
    return ended.stdout + ended.stderr


def test_a_toy_is_one_short_file() -> None:
    assert {path.name: len(path.read_text().splitlines()) for path in ADDITIONS.glob("toy_*.py")}.keys() == {
        f"toy_{part}.py" for part in ("data", "detector", "generator", "segmenter", "trunk")
    }
    assert all(len(path.read_text().splitlines()) <= 30 for path in ADDITIONS.glob("toy_*.py"))


def test_toys_are_fitted_evaluated_and_rows_of_a_table(tmp_path: Path) -> None:
    told = run("-c", FIT_EVALUATE_REPRODUCE, tmp_path).splitlines()
    assert told[0] == "toy_segmenter toy_generator"
    assert told[1] == "['msp', 'toy']"
    assert any(line.startswith("| the toy |") for line in told), "\n".join(told)


@pytest.mark.parametrize(
    ("tests", "item"),
    [
        ("contracts/test_detector.py", "[toy-2]"),
        ("contracts/test_segmenter.py", "[toy-3]"),
        ("contracts/test_generator.py", "toy"),
        ("contracts/test_trunk.py", "toy"),
    ],
)
def test_the_contract_tests_have_the_toys(tests: str, item: str) -> None:
    collected = run("-m", "pytest", "-p", "toys", "--co", TESTS / tests)
    assert any(item in line for line in collected.splitlines() if "::" in line), collected


def test_what_the_docs_do_not_list_is_told() -> None:
    told = run(
        "-m", "pytest", "-p", "toys", "-q", TESTS / "rivals/test_model_cards.py", TESTS / "contracts/test_dataset.py"
    )
    failed = {line.split(" - ")[0] for line in told.splitlines() if line.startswith("FAILED")}
    assert any("model_cards" in line for line in failed) and any("test_dataset" in line for line in failed), told
