"""One service for all tests here, with an M that can fail in every way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.report.pictures import image_picture

sys.path.append(str(Path(__file__).parent))
from asking import MOODY, TOKEN, Asking, png, serving  # noqa: E402

SECONDS, PLACES = 3, 6


@pytest.fixture(scope="session")
def ask(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    limits = ("--seconds", SECONDS, "--queue", PLACES, "--batch", 4, "--mebibytes", 1, "--megapixels", 1)
    with serving(run_folder, tmp_path_factory.mktemp("serve"), "--model", MOODY, *limits, token=TOKEN) as asking:
        yield asking


@pytest.fixture(scope="session")
def streets() -> list[bytes]:
    """Four drawn streets, as PNG files; the last is smaller."""
    scenes = Scenes(ScenesConfig(count=4, height=48, width=64, split="test"))
    return [png(image_picture(scene.image[..., : 64 - 8 * (number == 3)])) for number, scene in enumerate(scenes)]
