"""Small data sets on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

Write = Callable[..., Path]

HEIGHT, WIDTH = 20, 28


@pytest.fixture
def write_image() -> Write:
    """Write random pixels of any mode and size (height, width)."""

    def write(path: Path, mode: str = "RGB", size: tuple[int, int] = (HEIGHT, WIDTH), seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(path)
        return path

    return write


@pytest.fixture
def write_label() -> Write:
    """Write a label map of zeros with one row of each value given."""

    def write(path: Path, *values: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        label_map = np.zeros(size, dtype=np.uint8)
        label_map[: len(values)] = np.array(values, dtype=np.uint8)[:, None]
        Image.fromarray(label_map).save(path)
        return path

    return write


@pytest.fixture
def write_pair(write_image: Write, write_label: Write) -> Callable[..., None]:
    """Write an image and its label map: a row of each value given, zeros below."""

    def write(image: Path, label: Path, *values: int) -> None:
        write_image(image, seed=crc32(str(image).encode()))
        write_label(label, *values)

    return write


@pytest.fixture
def write_classes() -> Write:
    """Write a classes.json of sky, road, car."""

    def write(root: Path, ignore_index: int = 255) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        path = root / "classes.json"
        path.write_text(json.dumps({"names": ["sky", "road", "car"], "ignore_index": ignore_index}))
        return path

    return write


@pytest.fixture
def camvid_root(tmp_path: Path, write_image: Write, write_label: Write, write_classes: Write) -> Path:
    """A tree in CamVid's layout: train 0006R0_f10, 0006R0_f9, 0016E5_3; test Seq05VD_f1; and a split over both."""
    folder = {"0006R0_f10": "train", "0006R0_f9": "train", "0016E5_3": "train", "Seq05VD_f1": "test"}
    for number, (name, part) in enumerate(folder.items()):
        write_image(tmp_path / "images" / part / f"{name}.jpg", seed=number)
        write_label(tmp_path / "labels" / part / f"{name}.png", number % 3, 255)
    (tmp_path / "splits").mkdir()
    for split in ("train", "test"):
        (tmp_path / "splits" / f"{split}.txt").write_text("\n".join(n for n in folder if folder[n] == split) + "\n")
    (tmp_path / "splits" / "no_car.txt").write_text("Seq05VD_f1\n0016E5_3\n")
    write_classes(tmp_path)
    return tmp_path
