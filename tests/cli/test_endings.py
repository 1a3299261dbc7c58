"""How a command ends that is cut off from outside: one line that says what to do, and the code that shells expect."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.report.pictures import image_picture
from synthcp.report.rows import read_rows


@pytest.fixture
def command(run_folder: Path, tmp_path: Path) -> list[str]:
    """To score four images, as another process."""
    (tmp_path / "images").mkdir()
    for sample in Scenes(ScenesConfig(count=4, height=48, width=64, split="test")):
        image_picture(sample.image).save(tmp_path / "images" / f"{sample.id}.png")
    options = ["--monitor", run_folder, "--out", tmp_path / "out", "--device", "cpu", "--threads", 1]
    return [sys.executable, "-m", "synthcp", "score", str(tmp_path / "images"), *map(str, options)]


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGTERM, 143, "terminated"),
        pytest.param(signal.SIGINT, 130, "interrupted", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_says_how_it_goes_on(
    command: list[str], tmp_path: Path, number: signal.Signals, code: int, word: str
) -> None:
    with subprocess.Popen([*command, "--quiet"], stderr=-1, text=True) as process:
        wait_for(tmp_path / ".out.partial" / "done" / "1.safetensors", process)
        process.send_signal(number)
        _, told = process.communicate()
    assert process.returncode == code and told.count("\n") == 1
    assert told.startswith(f"{word}; what was done is kept in {tmp_path / '.out.partial'}; ") and "--resume" in told
    assert not (tmp_path / "out").exists()
    assert subprocess.run([*command, "--quiet", "--resume"], stdout=-3).returncode == 0
    assert len(read_rows(tmp_path / "out")) == 4 and not (tmp_path / ".out.partial").exists()


@pytest.mark.parametrize("option", ["--json", pytest.param("--quiet", marks=pytest.mark.slow)])
def test_a_reader_that_goes_away_costs_no_output(command: list[str], tmp_path: Path, option: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([*command, option], stdout=writer, stderr=-1, text=True)
    os.close(writer)
    assert ended.returncode == 141 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("error: nobody reads the output any more (broken pipe)")
    assert len(read_rows(tmp_path / "out")) == 4  # it was whole before anything was printed


@pytest.mark.slow
def test_a_reader_of_the_progress_that_goes_away_stops_the_run(command: list[str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(command, stdout=writer, stderr=-1, text=True)
    os.close(writer)
    assert ended.returncode == 141 and ended.stderr.count("\n") == 1 and "--resume" in ended.stderr


def test_help_into_a_closed_pipe_is_one_line() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([sys.executable, "-m", "synthcp", "--help"], stdout=writer, stderr=-1, text=True)
    os.close(writer)
    assert ended.returncode == 141 and ended.stderr.count("\n") == 1 and "broken pipe" in ended.stderr


def test_a_full_standard_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-m", "synthcp", "--help"], stdout=full, stderr=-1, text=True)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and "No space left on device" in ended.stderr
