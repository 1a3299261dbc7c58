"""Image files -> pixels as they are stored; what a file claims of its size is judged before a pixel is decoded."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from synthcp.errors import DataError

MIN_SIDE = 16
MAX_SIDE = 50_000
MAX_PIXELS = 100_000_000
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
"""A fixed list, so that no file can reach Pillow's readers that call other programs (EPS)."""

_LOSSY = {"jpeg", "tiff_jpeg", "webp"}  # within a TIFF file
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DECODER = threading.Lock()
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


@dataclass(frozen=True)
class Picture:
    """All pixels of a file, turned upright.

    Attributes:
        image: As Pillow decodes them.
        stored: How the file stores them, in Pillow's words: "L;4" is grey of 4 bits, "L;I" grey whose 0 is white.
        is_lossy: Whether the file is compressed as JPEG is, so that no value can be relied upon.
        is_negative: Whether 0 is white where Pillow does not say so: in grey of 16 or 32 bits.
    """

    image: Image.Image
    stored: str
    is_lossy: bool = False
    is_negative: bool = False

    @property
    def mode(self) -> str:
        """Of the pixels, in Pillow's words."""
        return self.image.mode

    @property
    def is_deep(self) -> bool:
        """Whether it is grey of 12 or 16 bits without sign."""
        return self.stored.startswith(("I;16", "I;12")) and not self.stored.endswith("S")

    def integers(self) -> NDArray[np.uint8]:
        """Return the stored integers (H, W) of a file of one channel, which Pillow stretches to 0-255 or turns over."""
        values = np.array(self.image).astype(np.uint8)
        channel, _, how = self.stored.partition(";")
        if channel not in ("1", "L"):
            return values
        bits = 1 if channel == "1" else int(how[0]) if how[:1].isdecimal() else 8
        largest = 2**bits - 1
        if channel == "L":
            values //= 255 // largest
        return largest - values if "I" in how else values


def decode(path: Path) -> Picture:
    """Read all pixels of a file, turned upright.

    Raises:
        DataError: The file is missing, empty, truncated, no image, too large, too long or too small.
    """
    with _opened(path) as image:
        return _picture(image)


def claimed_size(path: Path) -> tuple[int, int]:
    """Return (width, height) as the header of a file claims, which no pixel is decoded for; errors as of decode."""
    with _opened(path) as image:
        return image.size


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); copy or write the file again")
    # Given a path in place of a stream Pillow would map the file into memory; Pillow 13.0 then scrambles uncompressed
    # TIFF files with an orientation.
    with _decoding(path), path.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
        require_size(str(path), *image.size)
        yield image


def decoded(path: Path, image: Image.Image) -> Picture:
    """Return all pixels of an image that Pillow has opened, turned upright; the path is for errors, as of decode."""
    with _decoding(path):
        require_size(str(path), *image.size)
        return _picture(image)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """What a decoder raises, in one line; one thread at a time, for Python's filters of warnings are of all threads.

    Pillow warns of damaged EXIF, which harms no pixel, and from 89 megapixels on: our own limits are errors.
    """
    try:
        with _DECODER, warnings.catch_warnings(action="ignore"):
            yield
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(str(path)) from error
    except UnidentifiedImageError as error:
        raise _unidentified(path) from error
    except Exception as error:  # decoders raise nearly anything on damaged bytes: OSError, SyntaxError, struct.error
        raise DataError(f"{path} cannot be read: truncated, damaged or locked; copy or write it again") from error


def require_size(name: str, width: int, height: int) -> None:
    """Refuse a size, such as a file claims; raises DataError, which begins with the name."""
    size, sides = f"{width}x{height}", (min(width, height), max(width, height))
    if width * height > MAX_PIXELS:
        raise _too_large(name)
    if sides[0] < MIN_SIDE:
        raise DataError(f"{name} is {size}; images are at least {MIN_SIDE}x{MIN_SIDE}; replace or remove the file")
    if sides[1] > MAX_SIDE:
        raise DataError(f"{name} is {size}; images are at most {MAX_SIDE} pixels long; cut it into shorter ones")


def _picture(image: Image.Image) -> Picture:
    """The pixels of an opened file, and what must be asked of it before they are decoded."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0][3] if tiles else None
    stored = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    tags = getattr(image, "tag_v2", {})  # of TIFF
    if not tiles and tags.get(_BITS) == (12,):  # decoded already, by whoever opened it
        stored = "I;12"
    lossy = image.format in ("JPEG", "MPO") or image.info.get("compression") in _LOSSY
    negative = image.mode[0] in "IF" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    return Picture(ImageOps.exif_transpose(image), str(stored or image.mode), lossy, negative)


def _too_large(name: str) -> DataError:
    return DataError(f"{name} has more than {MAX_PIXELS // 10**6} megapixels, the limit; cut or shrink it first")


def _unidentified(path: Path) -> DataError:
    with path.open("rb") as stream:
        is_tiff = stream.read(4) in _TIFF
    if is_tiff:
        return DataError(
            f"{path} is a TIFF file that is damaged or of pixels that are not read (such as floats in colour); images "
            "are grey or RGB of 8 or 16 bits; write it so, or as PNG"
        )
    return DataError(f"{path} is not an image; files must be {', '.join(FORMATS)}; replace or remove it")
