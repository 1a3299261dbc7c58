"""Drawn streets to be scored, as a data set and as files."""

from __future__ import annotations

import pytest

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.report.pictures import image_picture

COUNT = 5


@pytest.fixture(scope="session")
def scenes():
    return Scenes(ScenesConfig(count=COUNT, height=48, width=64, split="test"))


@pytest.fixture(scope="session")
def images(scenes, tmp_path_factory):
    """A folder of them, each narrower than the one before."""
    folder = tmp_path_factory.mktemp("images")
    for number, sample in enumerate(scenes):
        image_picture(sample.image[:, :, : 64 - number]).save(folder / f"{sample.id}.png")
    return folder


@pytest.fixture
def bad(tmp_path):
    """A file that is no image."""
    path = tmp_path / "bad.png"
    path.write_bytes(b"no image")
    return path
