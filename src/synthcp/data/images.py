"""Image and label files -> tensors; an unusable file is a one-line DataError that says what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from synthcp.data.decoding import Picture, decode, decoded
from synthcp.errors import DataError

_TARGET_MODES = {"1": "L", "L": "L", "LA": "L"} | dict.fromkeys(("RGB", "RGBA", "P", "PA", "YCbCr"), "RGB")
_DEEP = 65_535.0
_WHITES = {"I;12": 4_095.0}
"""What white is in grey of 16 bits, by how it is stored, where it is not `_DEEP`."""
_CHANNEL_NAMES = {1: "grey (1 channel)", 3: "RGB (3 channels)"}


def read_image(path: Path, channels: int | None = None) -> Tensor:
    """Read an image, turned upright by its EXIF orientation: shape (C, H, W), float32 in [0, 1].

    Grey files give C = 1, all others C = 3; transparency is dropped. White is 255 of 8 bits, 65535 of 16 bits, and 1 of
    floats.

    Args:
        path: PNG, JPEG, BMP, TIFF or WebP, of a size within the limits of `data.decoding`.
        channels: C that the monitor was fitted on, or None when any will do.

    Raises:
        DataError: The file is missing, empty, truncated, no image, too large, too long or too small, of values whose
            white is unknown, or has other channels.
    """
    return _image(path, decode(path), channels)


def image_of_picture(picture: Image.Image, channels: int | None = None) -> Tensor:
    """Take a picture that Pillow has opened as read_image takes its file; arguments and errors as there."""
    path = Path(getattr(picture, "filename", "") or "the picture")
    return _image(path, decoded(path, picture), channels)


def _image(path: Path, picture: Picture, channels: int | None) -> Tensor:
    levels, white = _levels(path, picture)
    image = torch.from_numpy(np.atleast_3d(levels)).permute(2, 0, 1).contiguous().float().div_(white)
    image = 1 - image if picture.is_negative else image
    if channels is not None and channels != len(image):
        raise _wrong_channels(path, picture, len(image), channels)
    return image


def read_label_map(path: Path, colors: Sequence[tuple[int, int, int]] = ()) -> Tensor:
    """Read class indices, the stored integers, from one channel of up to 8 bits (or a palette): shape (H, W), int64.

    Args:
        path: PNG, say.
        colors: Display colours (R, G, B) of the classes, by which a colour picture is read; without them it is refused.

    Raises:
        DataError: The file is missing, empty, truncated, lossy, deeper than 8 bits, or a colour picture (of other
            colours).
    """
    picture = _decode_exact(path)
    if colors and picture.mode in ("RGB", "RGBA"):
        return torch.from_numpy(_indices(path, np.array(picture.image.convert("RGB")), colors))
    return torch.from_numpy(_single_channel(path, picture)).long()


def read_mask(path: Path) -> Tensor:
    """Read a mask from a single-channel file of up to 8 bits: shape (H, W), bool, True where not 0.

    Raises:
        DataError: The file is missing, empty, truncated, lossy, a colour picture, or deeper than 8 bits, or holds
            both 1 and 255, of which one may well mean something else.
    """
    values = _single_channel(path, _decode_exact(path))
    if (values == 1).any() and (values == 255).any():
        raise DataError(
            f"{path} holds both 1 and 255, and every value but 0 is an anomaly in a mask; write 0 for what is none, or "
            "name a kind of data in which 255 is void, such as smiyc:"
        )
    return torch.from_numpy(values != 0)


def _levels(path: Path, picture: Picture) -> tuple[NDArray[Any], float]:
    """Grey (H, W) or RGB (H, W, 3) levels, and what is white."""
    image, mode = picture.image, picture.mode
    if picture.is_deep:
        return np.array(image).astype(np.float32), _WHITES.get(picture.stored, _DEEP)
    if mode == "F":
        return _checked_floats(path, np.array(image, dtype=np.float32)), 1.0
    if mode not in _TARGET_MODES:
        raise _other_mode(path, mode)
    image = image.convert("RGBA") if mode in ("P", "PA") else image  # with transparency they may not go to RGB at once
    target = "L" if picture.stored.startswith("LA") else _TARGET_MODES[mode]  # 16 bits of both are decoded as RGBA
    return np.array(image.convert(target)), 255.0


def _checked_floats(path: Path, levels: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(levels.min()), float(levels.max())  # NaN, where there is one
    if not (low >= 0 and high <= 1):
        raise DataError(f"{path} holds floats from {low:g} to {high:g}; images are in [0, 1]; {_in_16_bits(path)}")
    return levels


def _other_mode(path: Path, mode: str) -> DataError:
    if mode == "I":
        remedy = _in_16_bits(path)
    elif mode == "CMYK":
        remedy = f'convert it to RGB first: PIL.Image.open("{path.name}").convert("RGB")'
    else:
        remedy = "write it as RGB with the program that made it"
    return DataError(f"{path} has pixels of mode {mode}; images are grey or RGB of 8 or 16 bits; {remedy}")


def _in_16_bits(path: Path) -> str:
    """How numbers of any range become an image."""
    return (
        "say which value is white, the same for all images, and write them as 16-bit PNG: PIL.Image.fromarray((65535 * "
        f'numpy.clip(numpy.nan_to_num(numpy.array(PIL.Image.open("{path.name}"))) / WHITE, 0, 1)).astype(numpy.uint16))'
    )


def _indices(path: Path, pixels: NDArray[np.uint8], colors: Sequence[tuple[int, int, int]]) -> NDArray[np.int64]:
    """The class index of every pixel (H, W, 3) by its display colour."""
    indices = np.full(pixels.shape[:2], -1, dtype=np.int64)
    for index, color in enumerate(colors):
        indices[(pixels == np.array(color, dtype=np.uint8)).all(axis=2)] = index
    if (indices < 0).any():
        unknown = tuple(map(int, pixels[indices < 0][0]))
        raise DataError(f"{path} has the colour {unknown}, which no class has; save class indices as a grey PNG")
    return indices


def _decode_exact(path: Path) -> Picture:
    """The pixels of a label file, whose values count; an image's may be a little off."""
    picture = decode(path)
    if picture.is_lossy:
        raise DataError(
            f"{path} is compressed as JPEG, which changes values, so its labels are wrong near every edge; labels and "
            "masks are PNG; write them again from where they were made (to convert this file would keep its errors)"
        )
    return picture


def _single_channel(path: Path, picture: Picture) -> NDArray[np.uint8]:
    if len(picture.image.getbands()) > 1:
        raise DataError(
            f"{path} is a colour picture (mode {picture.mode}); labels and masks are one 8-bit channel of class "
            "indices; replace each colour by the index of its class and save that as a grey PNG"
        )
    if picture.mode not in ("1", "L", "P"):
        raise DataError(
            f"{path} has pixels of mode {picture.mode}; labels and masks are one 8-bit channel of class indices; "
            "number the classes below 256 and save it with 8 bits: PIL.Image.fromarray(label_map.astype(numpy.uint8))"
        )
    return picture.integers()


def _wrong_channels(path: Path, picture: Picture, came: int, fitted: int) -> DataError:
    opened = f'PIL.Image.open("{path.name}")'
    if picture.mode == "F" or picture.is_deep:  # which Pillow's convert cuts off at 255
        white = 1 if picture.mode == "F" else _WHITES.get(picture.stored, _DEEP)
        opened = f"PIL.Image.fromarray((numpy.array({opened}) * {255 / white:.9g}).astype(numpy.uint8))"
    return DataError(
        f"{path} is {_CHANNEL_NAMES[came]}; the monitor was fitted on "
        f"{_CHANNEL_NAMES.get(fitted, f'{fitted} channels')}; convert it: "
        f'{opened}.convert("{"L" if fitted == 1 else "RGB"}")'
    )
