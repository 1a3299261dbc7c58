"""Arrays of NPZ files that other programs wrote: what a header claims is judged before anything so large is read."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from synthcp.errors import DataError

LONGEST_HEADER = 10_000
"""Bytes of the header of an array, as NumPy has it."""
Shape = tuple[int, ...]


def read_npz(path: Path, keys: Sequence[str], require_shape: Callable[[Shape], None]) -> tuple[str, NDArray[Any]]:
    """Read one array of numbers.

    Args:
        path: NPZ.
        keys: Of the array; the first that the file has is read.
        require_shape: Called with the shape before the values are read; raises DataError when it will not do.

    Returns:
        The key and its array.

    Raises:
        DataError: The file is no NPZ file, damaged, has none of the keys, or an array that is not of numbers or does
            not hold what its header claims.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            key = next((key for key in keys if key in names), None)
            if key is None:
                came = ", ".join(names[:5]) or "none"
                raise DataError(f"{path} has the keys {came}; one of {', '.join(keys)} is read; store it under that")
            with archive.open(f"{key}.npy") as member:
                return key, _array(path, key, member, require_shape)
    except DataError:
        raise
    except Exception as error:  # damaged bytes make zipfile, zlib and NumPy raise nearly anything
        raise DataError(f"{path} cannot be read ({' '.join(str(error).split())}); write it again") from error


def _array(path: Path, key: str, member: IO[bytes], require_shape: Callable[[Shape], None]) -> NDArray[Any]:
    start = member.read(LONGEST_HEADER)
    shape, is_fortran, dtype, begin = _header(start)
    if dtype.kind not in "biuf":
        raise DataError(
            f"{path} cannot be read: {key} is of type {dtype}, no numbers (allow_pickle=False); write numbers"
        )
    require_shape(shape)
    size = math.prod(shape) * dtype.itemsize
    values = start[begin:] + member.read(max(0, size - len(start) + begin))
    if len(values) != size or member.read(1):  # to the end, where the checksum is compared
        raise DataError(f"{path} holds {key} of another size than its header claims; write it again")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if is_fortran else "C")


def _header(start: bytes) -> tuple[Shape, bool, np.dtype[Any], int]:
    """Shape, order and type of an array, and where its values begin."""
    stream = BytesIO(start)
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, dtype = read(stream)
    return shape, is_fortran, dtype, stream.tell()
