"""Image and label files -> tensors; an unusable file is a one-line DataError that says what to do about it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from synthcp.errors import DataError

MIN_SIDE = 16
MAX_PIXELS = 100_000_000
# A fixed list, so that no file can reach Pillow's readers that call other programs (EPS).
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")

_DECODER = threading.Lock()
_TARGET_MODES = {"1": "L", "L": "L", "LA": "L", "RGB": "RGB", "RGBA": "RGB", "P": "RGB", "PA": "RGB"}
_CHANNEL_NAMES = {1: "grey (1 channel)", 3: "RGB (3 channels)"}


def read_image(path: Path, channels: int | None = None) -> Tensor:
    """Read an image, turned upright by its EXIF orientation: shape (C, H, W), float32 in [0, 1].

    Grey files give C = 1, all others C = 3; transparency is dropped.

    Args:
        path: PNG, JPEG, BMP, TIFF or WebP, at least 16x16 and at most 100 megapixels.
        channels: C that the monitor was fitted on, or None when any will do.

    Raises:
        DataError: The file is missing, empty, truncated, no image, too large, too small, or has other channels.
    """
    return _image(path, _decode(path), channels)


def image_of_picture(picture: Image.Image, channels: int | None = None) -> Tensor:
    """Take a picture that Pillow has opened as read_image takes its file; arguments and errors as there."""
    path = Path(getattr(picture, "filename", "") or "the picture")
    with _decoding(path):
        _check_size(path, *picture.size)
        upright = ImageOps.exif_transpose(picture)
    return _image(path, upright, channels)


def _image(path: Path, picture: Image.Image, channels: int | None) -> Tensor:
    """The pixels of an upright picture; see read_image."""
    if picture.mode not in _TARGET_MODES:
        raise DataError(
            f"{path} has pixels of mode {picture.mode}; images are 8-bit grey or RGB; "
            f'convert it to RGB first: PIL.Image.open("{path.name}").convert("RGB")'
        )
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA")  # palettes with transparency may not go to RGB at once
    pixels = np.atleast_3d(np.array(picture.convert(_TARGET_MODES[picture.mode])))  # (H, W, C)
    image = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 255
    if channels is not None and channels != len(image):
        raise _wrong_channels(path, len(image), channels)
    return image


def read_label_map(path: Path, colors: Sequence[tuple[int, int, int]] = ()) -> Tensor:
    """Read class indices from an 8-bit single-channel file (a palette's indices): shape (H, W), int64.

    Args:
        path: PNG, say.
        colors: Display colours (R, G, B) of the classes, by which a colour picture is read; without them it is refused.

    Raises:
        DataError: The file is missing, empty, truncated, not 8-bit, or a colour picture (of other colours).
    """
    picture = _decode(path)
    if colors and picture.mode in ("RGB", "RGBA"):
        return torch.from_numpy(_indices(path, np.array(picture.convert("RGB")), colors))
    return torch.from_numpy(_single_channel(path, picture, modes=("L", "P"))).long()


def read_mask(path: Path) -> Tensor:
    """Read a mask from a single-channel file of 1 or 8 bits: shape (H, W), bool, True where not 0.

    Raises:
        DataError: The file is missing, empty, truncated, a colour picture, or deeper than 8 bits.
    """
    return torch.from_numpy(_single_channel(path, _decode(path), modes=("1", "L", "P")) != 0)


def _indices(path: Path, pixels: np.ndarray, colors: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """The class index of every pixel (H, W, 3) by its display colour."""
    indices = np.full(pixels.shape[:2], -1, dtype=np.int64)
    for index, color in enumerate(colors):
        indices[(pixels == np.array(color, dtype=np.uint8)).all(axis=2)] = index
    if (indices < 0).any():
        unknown = tuple(map(int, pixels[indices < 0][0]))
        raise DataError(f"{path} has the colour {unknown}, which no class has; save class indices as a grey PNG")
    return indices


def _single_channel(path: Path, picture: Image.Image, modes: tuple[str, ...]) -> np.ndarray:
    if len(picture.getbands()) > 1:
        raise DataError(
            f"{path} is a colour picture (mode {picture.mode}); labels and masks are one 8-bit channel of class "
            "indices; replace each colour by the index of its class and save that as a grey PNG"
        )
    if picture.mode not in modes:
        raise DataError(
            f"{path} has pixels of mode {picture.mode}; labels and masks are one 8-bit channel of class indices; "
            "save it with 8 bits: PIL.Image.fromarray(label_map.astype(numpy.uint8))"
        )
    return np.array(picture)


def _decode(path: Path) -> Image.Image:
    """All pixels of a file, turned upright."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); copy or write the file again")
    # Given a path in place of a stream Pillow would map the file into memory; Pillow 13.0 then scrambles uncompressed
    # TIFF files with an orientation.
    with _decoding(path), path.open("rb") as stream, Image.open(stream, formats=FORMATS) as picture:
        _check_size(path, *picture.size)
        return ImageOps.exif_transpose(picture)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """What a decoder raises, in one line; one thread at a time, for Python's filters of warnings are of all threads.

    Pillow warns of damaged EXIF, which harms no pixel, and from 89 megapixels on, which is within our limit.
    """
    try:
        with _DECODER, warnings.catch_warnings(action="ignore"):
            yield
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image; files must be {', '.join(FORMATS)}; replace or remove it") from error
    except Exception as error:  # decoders raise nearly anything on damaged bytes: OSError, SyntaxError, struct.error
        raise DataError(f"{path} cannot be read: truncated, damaged or locked; copy or write it again") from error


def _check_size(path: Path, width: int, height: int) -> None:
    """Judge the size in the header, before any pixel is decoded."""
    if width * height > MAX_PIXELS:
        raise _too_large(path)
    if min(width, height) < MIN_SIDE:
        raise DataError(
            f"{path} is {width}x{height}; images are at least {MIN_SIDE}x{MIN_SIDE}; replace or remove the file"
        )


def _too_large(path: Path) -> DataError:
    return DataError(f"{path} has more than {MAX_PIXELS // 10**6} megapixels, the limit; cut or shrink it first")


def _wrong_channels(path: Path, came: int, fitted: int) -> DataError:
    return DataError(
        f"{path} is {_CHANNEL_NAMES[came]}; the monitor was fitted on "
        f"{_CHANNEL_NAMES.get(fitted, f'{fitted} channels')}; convert it: "
        f'PIL.Image.open("{path.name}").convert("{"L" if fitted == 1 else "RGB"}")'
    )
