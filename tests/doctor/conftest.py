"""Data sets held in memory, and a model whose answers a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.doctor.base import Finding, Scope
from synthcp.records import Classes, Sample
from synthcp.segmentation.base import Segmenter

CLASSES = Classes(("sky", "road", "car", "tram"), ((0, 0, 255), (90, 90, 90), (255, 0, 0), (0, 255, 0)))


class Held(Dataset):
    """Samples in a list; an error in the place of one is raised when it is read."""

    def __init__(self, samples: Sequence[Sample | Exception], classes: Classes = CLASSES) -> None:
        self.classes = classes
        self.samples = samples
        self.ids = [sample.id if isinstance(sample, Sample) else f"broken-{n}" for n, sample in enumerate(samples)]

    def __getitem__(self, index: int) -> Sample:
        sample = self.samples[index]
        if isinstance(sample, Exception):
            raise sample
        return sample


class Seer(Segmenter):
    """Reads the class off the first channel (class k has the value k / 10), and answers logits made of its one-hot."""

    def __init__(self, answer: Callable[[Tensor], Tensor], layers: Sequence[Tensor] = ()) -> None:
        super().__init__(2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        self.answer = answer
        self.layers = layers

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        known = torch.nn.functional.one_hot((image[:, 0] * 10).round().long(), len(CLASSES)).movedim(-1, 1)
        return self.answer(known.float()), self.layers


def sample_of(sample_id: str, label_map: Tensor, group: str = "") -> Sample:
    """An image that shows its label map: class k as k / 10 in the first channel, noise in the others."""
    noise = torch.rand(2, *label_map.shape, generator=torch.Generator().manual_seed(0))
    shown = label_map.where(label_map < len(CLASSES), 0) / 10
    return Sample(sample_id, torch.cat([shown[None], noise]), label_map, group=group)


def patches(*values: int, size: int = 16) -> Tensor:
    """A label map of zeros with one row of each value given."""
    label_map = torch.zeros(size, size + 4, dtype=torch.int64)
    for row, value in enumerate(values):
        label_map[row] = value
    return label_map


@pytest.fixture
def findings(monkeypatch) -> Callable[..., dict[str, Finding]]:
    """Findings of a check by name, each of one line, of data or a model that no SPEC names."""

    def findings(check, dataset=None, **options):
        monkeypatch.setattr(Scope, "dataset", dataset)
        found = list(check(Scope("held:", device="cpu", **options)))
        assert not any("\n" in finding.what + finding.remedy for finding in found)
        return {finding.name: finding for finding in found}

    return findings


@pytest.fixture
def held() -> type[Held]:
    return Held


@pytest.fixture
def seer() -> type[Seer]:
    return Seer


@pytest.fixture
def sample() -> Callable[..., Sample]:
    """Maker of a sample of zeros with one row of each value given."""
    return lambda sample_id, *values, group="", size=16: sample_of(sample_id, patches(*values, size=size), group)
