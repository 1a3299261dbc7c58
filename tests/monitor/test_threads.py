"""Assessments made by several threads at once are those made one after the other, bit for bit."""

from __future__ import annotations

import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import pytest
import torch
from torch import nn

from synthcp.comparison.blend import Blend
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network
from synthcp.monitor.settings import Learnt
from synthcp.report.pictures import image_picture
from synthcp.segmentation.specs import open_model

THREADS, COUNT = 6, 60


class Brought(nn.Module):
    """A network that somebody brought, which lets other threads run between its layers."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, classes, 1)

    def forward(self, image):
        features = self.body(image).relu()
        time.sleep(0.001)
        logits = self.head(features)
        time.sleep(0.001)
        return logits


@pytest.fixture(scope="module")
def images():
    return [sample.image for sample in Scenes(ScenesConfig(count=10, height=32, width=48, split="test"))]


@pytest.fixture(scope="module")
def network(monitor):
    torch.manual_seed(3)
    return Brought(len(monitor.classes))


def watching(network, monitor, image):
    """A monitor of a brought network, G and F with fresh weights."""
    opened = open_model(network, monitor.classes, image[None])
    settings = replace(monitor.settings, model=opened.settings, learnt=Learnt(Blend()), calibration=None)
    torch.manual_seed(4)
    return Monitor(settings, opened.predictor, build_generator(settings), build_network(settings), monitor.runtime)


def assert_all_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        for field in fields(one):
            first, second = getattr(one, field.name), getattr(other, field.name)
            assert torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second, field.name


def test_of_a_brought_model(monitor, network, images):
    """Two monitors watch one network, as they may."""
    monitors = [watching(network, monitor, images[0]) for _ in range(2)]
    asked = [images[number % len(images)] for number in range(COUNT)]
    expected = [monitors[0].assess(image) for image in asked]
    assert monitors[0].predictor.feature_name == "head"
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda pair: monitors[pair[0] % 2].assess(pair[1]), enumerate(asked)))
    assert_all_equal(found, expected)
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_of_the_built_in_one_from_files(monitor, images, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        image_picture(image).save(path)
    expected, filters = [monitor.assess(path) for path in paths], list(warnings.filters)
    with ThreadPoolExecutor(THREADS) as pool:
        assert_all_equal(list(pool.map(monitor.assess, paths)), expected)
    assert warnings.filters == filters


def test_one_bad_image_leaves_the_others_as_they_are(monitor, network, images):
    judge = watching(network, monitor, images[0])
    expected = [judge.assess(image) for image in images]

    def judged(number):
        image = images[number % len(images)]
        if number % 7 == 3:
            with pytest.raises(ValueError, match="must be in"):
                judge.assess(image * 255)
        return judge.assess(image)

    with ThreadPoolExecutor(THREADS) as pool:
        assert_all_equal(list(pool.map(judged, range(len(images)))), expected)
