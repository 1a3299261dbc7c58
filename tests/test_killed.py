"""kill -9 at any moment: the folder is the old run's or the new one's, whole, and --resume ends with the same bytes.

A moment is one of the calls by which the program opens, renames or removes something in or beside the output folder:
then it could be left half changed. What differs between two equal runs is named here: the date ("created"), the word
--resume in the command, and the number of the run in files.json.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.monitor.monitor import Monitor
from synthcp.report.pictures import image_picture

PROGRAM = """
import json, os, signal, sys

import torch
import synthcp.verbs.audit.run, synthcp.verbs.calibrate, synthcp.verbs.score, synthcp.verbs.evaluate
from synthcp.cli.program import run

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "ctypes.dlsym"}


def child(arguments, around, moment, told):
    seen = 0

    def watch(event, values):
        nonlocal seen
        if event in EVENTS and (event == "ctypes.dlsym" or around in str(values)):
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    sys.argv = ["synthcp", *arguments]
    code = run(arguments)
    os.write(told, f"{code} {seen}".encode())
    os._exit(0)


for line in sys.stdin:
    arguments, around, moment = json.loads(line)
    torch.set_num_threads(1)
    heard, told = os.pipe()
    process = os.fork()
    if not process:
        os.dup2(2, 1)
        child(arguments, around, moment, told)
    os.close(told)
    os.waitpid(process, 0)
    print(os.read(heard, 100).decode() or "killed", flush=True)
    os.close(heard)
"""
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
DATA = "scenes:?count={}&size=48x64"
EASY = "--alpha 0.3 --delta 0.2 --floor 0.05 --area 0.1"


@dataclass(frozen=True)
class Killer:
    """Runs the program in children that die at a given moment."""

    process: subprocess.Popen[str]
    around: Path

    def __call__(self, *arguments: object, moment: int = -1, at: str = "") -> str:
        """Return "killed", or the exit code and the number of moments, those alone whose file is named by `at`."""
        assert self.process.stdin is not None and self.process.stdout is not None
        order = [[str(argument) for argument in arguments], at or str(self.around), moment]
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@pytest.fixture
def killer(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=-1, stdout=-1, text=True) as process:
        yield Killer(process, tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for sample in Scenes(ScenesConfig(count=3, height=48, width=64, split="test")):
        image_picture(sample.image).save(folder / f"{sample.id}.png")
    return folder


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file of a folder, without what differs between equal runs."""
    return {path.relative_to(folder).as_posix(): content(path) for path in folder.rglob("*") if path.is_file()}


def content(path: Path) -> bytes | str:
    if path.suffix not in {".json", ".html"}:
        return path.read_bytes()
    text = WHEN.sub("WHEN", path.read_text()).replace(" --resume", "")
    return re.sub(r'"run": "\w*"', "", text) if path.name == "files.json" else text


def differing(found: dict[str, bytes | str], expected: dict[str, bytes | str]) -> list[str]:
    return [name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)]


def kill_and_resume(killer: Killer, folder: Path, command: list[object], kills: int) -> None:
    """Kill a command at so many moments of its whole course, each time over the old folder."""
    old = shutil.copytree(folder, folder.with_name("old"))
    code, moments = map(int, killer(*command).split())
    assert code == 0 and moments > 10
    before, after = contents(old), contents(folder)
    assert before != after
    places = {1 + number * (moments - 2) // (kills - 1) for number in range(kills)}
    found = []
    for moment in sorted(places):
        shutil.rmtree(folder)
        shutil.copytree(old, folder)
        assert killer(*command, moment=moment) == "killed"
        found.append(contents(folder))
        assert found[-1] in (before, after), f"neither the old nor the new folder after a kill at {moment} of {moments}"
        assert killer(*command, "--resume").split()[0] == "0"
        other = differing(contents(folder), after)
        assert not other, f"other results in {other} after a kill at {moment} of {moments}"
        assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")], "something was left behind"
    assert before in found


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_score_is_killed(killer: Killer, run_folder: Path, images: Path, tmp_path: Path, kills: int) -> None:
    out, options = tmp_path / "out", ["--monitor", run_folder, "--device", "cpu", "--quiet"]
    assert killer("score", images / "test-0001.png", "--out", out, *options).startswith("0 ")
    kill_and_resume(killer, out, ["score", images, "--out", out, "--budget", 2, *options], kills)


@pytest.mark.slow
def test_eval_is_killed(killer: Killer, run_folder: Path, images: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "out", ["--monitor", run_folder, "--device", "cpu", "--quiet"]
    assert killer("score", images, "--out", out, *options).startswith("0 ")
    protocols = ["--protocols", "pooled,caos,smiyc"]
    kill_and_resume(killer, out, ["eval", "--data", DATA.format(3), "--out", out, *protocols, *options], kills=10)


@pytest.mark.slow
def test_calibrate_is_killed(killer: Killer, run_folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    command = ["calibrate", "--monitor", run, "--data", DATA.format(12), "--device", "cpu", "--quiet", *EASY.split()]
    kill_and_resume(killer, run, command, kills=10)
    assert Monitor.load(run, "cpu").settings.calibration is not None


def test_what_is_done_is_not_done_again(killer: Killer, run_folder: Path, images: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "out", ["--monitor", run_folder, "--device", "cpu", "--quiet"]
    command = ["score", images, "--out", out, *options]
    assert killer(*command, moment=1, at="report.html") == "killed"
    done = sorted((tmp_path / ".out.partial" / "done").iterdir())
    times = [path.stat().st_mtime_ns for path in done]
    assert len(done) == 3
    assert killer(*command, "--resume", moment=1, at="report.html") == "killed"
    assert [path.stat().st_mtime_ns for path in done] == times


def test_another_run_is_not_taken_up(killer: Killer, synthcp, run_folder: Path, images: Path, tmp_path: Path) -> None:
    out, first, last = tmp_path / "out", images / "test-0000.png", images / "test-0002.png"
    command = ["score", images, "--out", out, "--monitor", run_folder, "--device", "cpu", "--quiet"]

    def refused(message: str, *options: object) -> None:
        ended = synthcp(*command, *options, "--resume")
        assert (ended.code, len(ended.stderr)) == (2, 1)
        assert message in ended.stderr[0] and "without" in ended.stderr[0] and not out.exists()

    assert killer(*command, moment=1, at="report.html") == "killed"
    refused("had another budget", "--budget", 1)
    last.rename(images / "new.png")
    refused("had another list of inputs")
    (images / "new.png").rename(last)
    before = first.read_bytes()
    shutil.copy(last, first)
    refused("test-0000.png has changed since the run was interrupted")
    first.write_bytes(before)
    assert synthcp(*command, "--resume").code == 0 and not (tmp_path / ".out.partial").exists()
