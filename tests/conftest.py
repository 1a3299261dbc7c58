"""One truly tiny monitor, the command line called in this process, and the form that every error has."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from synthcp.cli import main
from synthcp.config import SCALES, Scale
from synthcp.data.scenes import Scenes, ScenesConfig
from synthcp.errors import InputError, SynthCPError
from synthcp.fitting.options import FitOptions
from synthcp.fitting.run import fit
from synthcp.monitor import Monitor

Fails = Callable[..., AbstractContextManager[None]]


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    stdout: str
    stderr: list[str]


@pytest.fixture
def synthcp(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Call the program with the given arguments."""

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["synthcp", *map(str, arguments)])
        monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)  # it would outlive the test
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Ended(end.value.code, captured.out, captured.err.splitlines())

    return call


@pytest.fixture
def fails() -> Fails:
    """Expect an error of one line that holds every given text."""

    @contextmanager
    def expect(*texts: str, error: type[SynthCPError] = InputError) -> Iterator[None]:
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        assert [text for text in texts if text not in message] == [], message

    return expect


@pytest.fixture(scope="session")
def smallest_scale() -> Scale:
    """A few steps of everything."""
    tiny = SCALES["tiny"]
    return replace(
        tiny,
        side=32,
        segmentation=replace(tiny.segmentation, steps=4),
        gan=replace(tiny.gan, steps=2),
        comparator=replace(tiny.comparator, steps=3),
    )


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, smallest_scale: Scale) -> Iterator[Path]:
    """A run fitted on twelve scenes of 48 x 64 pixels, with its controls; not to be written to."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    scenes = Scenes(ScenesConfig(count=12, height=48, width=64))
    fit(scenes, folder, FitOptions(scale=smallest_scale, device="cpu", precision="fp32"))
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def monitor(run_folder: Path) -> Monitor:
    """The monitor of the tiny run."""
    return Monitor.load(run_folder, "cpu")
