"""PNG files, written fast: every row as differences from the pixel to the left, deflated at the fastest level.

Pillow tries five filters on every row and deflates at level 6, which takes five times as long; on smooth maps the files
are as large as these.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthcp.errors import ShapeError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KINDS = {"L": (8, 0), "I;16": (16, 0), "RGB": (8, 2), "P": (8, 3)}
"""Bits of a channel, and the colour type, by Pillow's mode."""
_LEFT, _LEVEL = 1, 1
"""The filter that subtracts the pixel to the left, and the fastest level of deflate."""


def png_of(picture: Image.Image) -> bytes:
    """Return the PNG file of a picture.

    Args:
        picture: Grey of 8 or 16 bits, with a palette, or RGB.

    Raises:
        ShapeError: Its pixels are of another mode.
    """
    if picture.mode not in _KINDS:
        raise ShapeError(f"a picture of mode {picture.mode} is not written as PNG here; convert it to RGB or L")
    bits, color = _KINDS[picture.mode]
    header = struct.pack(">IIBBBBB", picture.width, picture.height, bits, color, 0, 0, 0)
    palette = _chunk(b"PLTE", bytes(picture.getpalette("RGB") or [])) if color == 3 else b""
    pixels = zlib.compress(_filtered(np.asarray(picture)).data, _LEVEL)
    return b"".join([_SIGNATURE, _chunk(b"IHDR", header), palette, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")])


def _filtered(pixels: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8]:
    """The rows (H, W) or (H, W, 3) as bytes, each the difference from that of the pixel to the left."""
    step = pixels.itemsize * (pixels.shape[2] if pixels.ndim == 3 else 1)
    ordered = pixels.astype(pixels.dtype.newbyteorder(">"), copy=False)
    rows = np.ascontiguousarray(ordered).view(np.uint8).reshape(len(pixels), -1)
    filtered = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    filtered[:, 0], filtered[:, 1 : 1 + step] = _LEFT, rows[:, :step]
    np.subtract(rows[:, step:], rows[:, :-step], out=filtered[:, 1 + step :])
    return filtered


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
