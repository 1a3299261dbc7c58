"""The PNG files of our own writer, read by Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest
from PIL import Image

from synthcp.errors import ShapeError
from synthcp.report.png import png_of

SIZES = [(1, 1), (1, 7), (5, 1), (31, 64)]


def drawn(mode: str, size: tuple[int, int]) -> Image.Image:
    """A picture of noise."""
    chance = np.random.default_rng(3)
    if mode == "I;16":
        return Image.fromarray(chance.integers(0, 65536, size).astype(np.uint16))
    picture = Image.fromarray(chance.integers(0, 256, (*size, 3) if mode == "RGB" else size).astype(np.uint8))
    if mode == "P":
        picture.putpalette(chance.integers(0, 256, 768).astype(np.uint8).tobytes())
    return picture


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "I;16"])
def test_pillow_reads_the_very_picture(mode: str, size: tuple[int, int]) -> None:
    picture = drawn(mode, size)
    with Image.open(io.BytesIO(png_of(picture)), formats=["PNG"]) as found:
        found.verify()
    with Image.open(io.BytesIO(png_of(picture))) as found:
        assert found.mode == picture.mode and found.getpalette() == picture.getpalette()
        assert np.array_equal(np.asarray(found), np.asarray(picture))


def test_smooth_maps_are_as_small_as_those_of_pillow() -> None:
    rows, columns = np.mgrid[0:1:200j, 0:1:300j]
    picture = Image.fromarray((65535 * (rows * columns)).round().astype(np.uint16))
    theirs = io.BytesIO()
    picture.save(theirs, "PNG")
    assert len(png_of(picture)) < 1.2 * len(theirs.getvalue())


def test_another_mode_is_refused(fails: Callable[..., AbstractContextManager[None]]) -> None:
    with fails("a picture of mode RGBA", "is not written as PNG here", "convert it to RGB or L", error=ShapeError):
        png_of(Image.new("RGBA", (3, 2)))
