"""A toy data set, one truly tiny monitor, the command line called in this process, and the form of every error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from synthcp.cli import main
from synthcp.config.scales import SCALES, Scale
from synthcp.data.base import Dataset
from synthcp.data.classes import default_colors
from synthcp.data.drawn.scenes import CLASSES, Scenes, ScenesConfig
from synthcp.errors import InputError, SynthCPError
from synthcp.fitting.config import FitConfig
from synthcp.fitting.run import fit
from synthcp.monitor.monitor import Monitor
from synthcp.records import Classes, Sample
from synthcp.report.pictures import image_picture
from synthcp.system.runtime import Runtime

Fails = Callable[..., AbstractContextManager[None]]
LABEL_IDS = torch.zeros(256, dtype=torch.uint8)
"""Of Cityscapes, for the classes of a drawn street; 1 is the camera's own car, of no class."""
LABEL_IDS[: len(CLASSES)] = torch.tensor([23, 11, 7, 8, 21, 17, 26, 24, 20], dtype=torch.uint8)
OWN_CAR = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as a "summary", such as how many hostile inputs were tried."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, line in getattr(report, "user_properties", ()):
                if name == "summary" and report.when == "call":
                    terminalreporter.write_line(str(line))


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
def write_cityscapes() -> Callable[..., Path]:
    """Write drawn streets as Cityscapes lays them out, the last row of each on the car that holds the camera."""

    def write(root: Path, cities: Mapping[str, Mapping[str, int]], size: tuple[int, int] = (32, 64)) -> Path:
        """Write so many images of each city of each split ("train" or "val"), of size (height, width)."""
        for split, counts in cities.items():
            places = [f"{city}/{city}_{number:06d}_000019" for city in counts for number in range(counts[city])]
            for place, scene in zip(places, Scenes(ScenesConfig(len(places), *size, split=split)), strict=True):
                write_city_street(root, split, place, scene)
        return root

    return write


def write_city_street(root: Path, split: str, place: str, scene: Sample) -> None:
    image = root / "leftImg8bit" / split / f"{place}_leftImg8bit.png"
    label = root / "gtFine" / split / f"{place}_gtFine_labelIds.png"
    for path in (image, label):
        path.parent.mkdir(parents=True, exist_ok=True)
    image_picture(scene.image).save(image)
    values = LABEL_IDS[scene.label_map]
    values[-1] = OWN_CAR
    Image.fromarray(values.numpy()).save(label)


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
    fit(scenes, folder, FitConfig(scale=smallest_scale, device="cpu", precision="fp32"))
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def monitor(run_folder: Path) -> Monitor:
    """The monitor of the tiny run."""
    return Monitor.load(run_folder, "cpu")


class Toy(Dataset):
    """Blocks of eight pixels, each class in a colour of its own under noise; the first row of pixels is ignored."""

    def __init__(self, count: int = 4, size: tuple[int, ...] = (32, 40), classes: int = 3) -> None:
        names = tuple(f"class{label}" for label in range(classes))
        self.classes = Classes(names, default_colors(classes), ignore_index=255)
        self.ids = [f"toy{index:02d}" for index in range(count)]
        self._size = size

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index)
        coarse = torch.randint(len(self.classes), [-(-side // 8) for side in self._size], generator=generator)
        label_map = F.interpolate(coarse[None, None].float(), self._size)[0, 0].long()
        colors = torch.tensor(self.classes.colors)[label_map].movedim(-1, 0) / 255
        noise = 0.1 * torch.randn(colors.shape, generator=generator)
        label_map[..., 0, :] = self.classes.ignore_index
        return Sample(self.ids[index], (colors + noise).clamp(0, 1), label_map, group=f"drive{index // 2}")


@pytest.fixture
def toy() -> Callable[..., Dataset]:
    """Make a data set of (count, size, classes)."""
    return Toy


@pytest.fixture
def cpu() -> Runtime:
    return Runtime(torch.device("cpu"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run."""
    return tmp_path
