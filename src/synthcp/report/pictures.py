"""Maps as picture files and back: palette PNG for labels, heat map for the eye, 16-bit grey for numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from synthcp.data.decoding import MAX_PIXELS
from synthcp.errors import DataError, ShapeError
from synthcp.records import Classes

Level = TypeVar("Level", np.uint8, np.uint16)

IGNORED = 255
_GREY_LEVELS = 65535
_BAND = 48
"""Rows."""
IGNORED_COLOR = (128, 128, 128)


@lru_cache(maxsize=1)
def heat_colors() -> NDArray[np.uint8]:
    """Perceptually uniform, colour-blind safe colours (magma), shape (256, 3)."""
    rgba: NDArray[np.uint8] = matplotlib.colormaps["magma"](np.arange(256), bytes=True)
    return rgba[:, :3]


def label_picture(label_map: Tensor, classes: Classes) -> Image.Image:
    """Label map (H, W) as a palette picture: the pixel value is the class index, 255 where there is no class."""
    _check_plane(label_map)
    labels = label_map.cpu().numpy()
    indices = labels.astype(np.uint8)
    indices[labels == classes.ignore_index] = IGNORED
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = classes.colors
    palette[IGNORED] = IGNORED_COLOR
    return _palette_picture(indices, palette)


def heat_picture(shares: Tensor) -> Image.Image:
    """Map (H, W) with values in [0, 1] as a heat map: the pixel value is the level in 0-255."""
    _check_plane(shares)
    return _palette_picture(_levels(shares, 255, np.uint8), heat_colors())


def grey_picture(shares: Tensor) -> Image.Image:
    """Map (H, W) with values in [0, 1] as 16-bit grey: value / 65535, exact to half a level."""
    _check_plane(shares)
    return Image.fromarray(_levels(shares, _GREY_LEVELS, np.uint16))


def image_picture(image: Tensor) -> Image.Image:
    """Image (C, H, W) in [0, 1] as RGB (its first three channels) or grey (fewer than three)."""
    if image.dim() != 3:
        raise ShapeError(f"an image of shape {tuple(image.shape)} has no picture; give (C, H, W)")
    channels = [Image.fromarray(_levels(channel, 255, np.uint8)) for channel in image[: 3 if len(image) >= 3 else 1]]
    return Image.merge("RGB", channels) if len(channels) == 3 else channels[0]


def _levels(shares: Tensor, largest: int, kind: type[Level]) -> NDArray[Level]:
    """Values (H, W) in [0, 1] as whole numbers up to the largest, a band of rows after the other, as a cache holds it.

    Whatever is shown in 16 bits is computed in 64, for float32 is a little coarser than half a level.
    """
    values = shares.float().cpu().numpy()
    precise, levels = np.float64 if largest > 255 else np.float32, np.empty(values.shape, kind)
    for start in range(0, len(values), _BAND):
        band = np.multiply(values[start : start + _BAND].clip(0, 1), largest, dtype=precise)
        levels[start : start + _BAND] = np.rint(band)
    return levels


def mask_picture(mask: Tensor) -> Image.Image:
    """Mask (H, W) as 0 and 255."""
    _check_plane(mask)
    return Image.fromarray(mask.cpu().numpy().astype(np.uint8) * 255)


def true_error_picture(prediction: Image.Image, truth: Image.Image) -> Image.Image:
    """Where the prediction is wrong, in the two end colours of the heat map; grey where there is no truth."""
    predicted, true = np.asarray(prediction), np.asarray(truth)
    levels = np.where(predicted == true, 0, 1)
    levels[true == IGNORED] = 2
    palette = np.zeros((256, 3), np.uint8)
    palette[:3] = heat_colors()[0], heat_colors()[-1], IGNORED_COLOR
    return _palette_picture(levels.astype(np.uint8), palette)


def overlay(image: Image.Image, labels: Image.Image, background: int) -> Image.Image:
    """Labels, half transparent, over the image that they belong to; where the background is, the image alone."""
    mask = Image.fromarray(np.where(np.asarray(labels) == background, 0, 128).astype(np.uint8))
    return Image.composite(labels.convert("RGB"), image.convert("RGB"), mask)


def read_picture(path: Path) -> Image.Image:
    """The picture in a file; raises DataError, naming the file, when it cannot be read."""
    with _opened(path) as picture:
        picture.load()
        return picture


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of the picture in a file, by its header; raises DataError, naming the file, as read_picture."""
    with _opened(path) as picture:
        return picture.size


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A PNG or JPEG file of bounded size; what its decoder raises becomes a DataError."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("PNG", "JPEG")) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{picture.width}x{picture.height} pixels")
            yield picture
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is not a readable picture ({reason}); write the output folder again") from error


def read_grey(path: Path) -> NDArray[np.float64]:
    """Values in [0, 1] of a 16-bit grey picture, shape (H, W)."""
    return np.asarray(read_picture(path), dtype=np.float64) / _GREY_LEVELS


def _palette_picture(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(indices)
    picture.putpalette(palette.tobytes())
    return picture


def _check_plane(plane: Tensor) -> None:
    if plane.dim() != 2:
        raise ShapeError(f"a map of shape {tuple(plane.shape)} has no picture; give (H, W)")
