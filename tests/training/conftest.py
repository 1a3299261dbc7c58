"""A small labelled data set, and imperfect predictions for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from synthcp.data.base import Dataset
from synthcp.data.classes import default_colors
from synthcp.records import Classes, Sample
from synthcp.runtime import Runtime


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
