"""Drawn streets with one planted label error, and a monitor whose M knows the true labels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.monitor.monitor import Monitor
from synthcp.segmentation.base import certain

BOX = (20, 10, 38, 26)


class Mislabelled(Scenes):
    """Four streets; in the third a box carries another class."""

    def __init__(self):
        super().__init__(ScenesConfig(count=4, height=48, width=64))

    def true(self, index):
        return super().__getitem__(index).label_map

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        if index != 2:
            return sample
        x0, y0, x1, y1 = BOX
        label_map = sample.label_map.clone()
        label_map[y0:y1, x0:x1] = (int(label_map[18, 29]) + 3) % len(self.classes)
        return replace(sample, label_map=label_map)


class Knowing:
    """An M that is no live network and says the true labels."""

    def __init__(self, dataset):
        self.dataset = dataset

    def predict(self, sample_id, image):
        label_map = self.dataset.true(list(self.dataset.ids).index(sample_id))
        return certain(
            torch.where(label_map < len(self.dataset.classes), label_map, 0)[None], len(self.dataset.classes)
        )


@pytest.fixture(scope="session")
def box():
    """Where the error is: x0, y0, x1, y1."""
    return BOX


@pytest.fixture(scope="session")
def mislabelled():
    return Mislabelled()


@pytest.fixture(scope="session")
def knowing(monitor, mislabelled):
    """A monitor whose predictions come from elsewhere."""
    return Monitor(monitor.settings, Knowing(mislabelled), monitor.generator, monitor.network, monitor.runtime)
