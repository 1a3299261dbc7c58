"""NIfTI files (.nii, .nii.gz): volumes in, and volumes out on the very grid of the file that came in."""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass
from logging import CRITICAL, getLogger
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcp.errors import DataError, ShapeError
from synthcp.system.extras import import_extra
from synthcp.system.files import replace_whole

SUFFIXES = (".nii.gz", ".nii")
RAS = ((0, 1), (1, 1), (2, 1))
"""The orientation in which volumes are worked on, as nibabel writes it: axes to the right, anterior, superior."""

MAX_VOXELS = 2**29
"""Of a file, all its channels together: 512 x 512 x 2048."""

LONGEST_HEADER = 2**24
"""Bytes in front of the voxels: header and extensions."""

DEFLATE_RATIO = 1032
"""No byte of a .gz file unpacks to more."""

CHUNK = 2**20

TOLERANCE = 1e-3
"""Largest difference between affines (mm) of one grid: programs round them differently."""

LARGEST = 1e37
"""Of the values of a voxel; the difference of two such is still a float32."""

SPACING = (1e-5, 1e4)
"""Shortest and longest side of a voxel (mm), from electron microscopes to whole landscapes."""

_MILLIMETRES = {"unknown": 1.0, "mm": 1.0, "meter": 1e3, "micron": 1e-3}


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a NIfTI file lie.

    Volumes are worked on in RAS: their axes are turned and flipped, never resampled, to lie nearest to right, anterior
    and superior, as nibabel's `as_closest_canonical` does. `size` and `spacing` are along those axes.

    Attributes:
        header: The whole header of the file, as nibabel reads it.
        affine: From voxel indices of the file to the world, shape (4, 4).
        shape: Voxels along the file's own three axes.
    """

    header: Any
    affine: NDArray[np.float64]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, shape: Sequence[int], affine: ArrayLike) -> Grid:
        """Return the grid of a new file, in mm.

        Args:
            shape: (X, Y, Z), along the axes of the affine.
            affine: From voxel indices to the world, shape (4, 4).
        """
        header = _nibabel().Nifti1Header()
        header.set_data_shape(shape)
        header.set_xyzt_units("mm")
        header.set_qform(np.asarray(affine), code="scanner")
        header.set_sform(np.asarray(affine), code="scanner")
        return cls(header, header.get_best_affine(), tuple(shape))

    @property
    def size(self) -> tuple[int, int, int]:
        """(X, Y, Z), the voxels along right, anterior, superior."""
        return self._turned(self.shape)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxels along right, anterior, superior."""
        return self._turned([float(self._unit * step) for step in np.linalg.norm(self.affine[:3, :3], axis=0)])

    @property
    def voxel_volume(self) -> float:
        """Of one voxel, in cubic millimetres."""
        return float(abs(np.linalg.det(self._unit * self.affine[:3, :3])))

    def position(self, at: Sequence[float]) -> tuple[float, ...]:
        """Where a point of the volume lies in the world: towards the patient's right, front and head, in mm.

        Args:
            at: Shares of the three axes in RAS, in [0, 1]; voxel i of n has its centre at (i + 1/2) / n.
        """
        orientations = _nibabel().orientations
        orientation = orientations.io_orientation(self.affine)
        turned = self.affine @ orientations.inv_ornt_aff(orientation, self.shape)
        voxel = [share * side - 0.5 for share, side in zip(at, self.size, strict=True)]
        return tuple(float(self._unit * along) for along in (turned @ [*voxel, 1.0])[:3])

    def to_ras(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn values that lie like the file, shape (*shape, ...), to right, anterior, superior."""
        orientations = _nibabel().orientations
        return np.ascontiguousarray(orientations.apply_orientation(values, orientations.io_orientation(self.affine)))

    def from_ras(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn values in RAS, shape (*size, ...), to lie like the file."""
        orientations = _nibabel().orientations
        back = orientations.ornt_transform(RAS, orientations.io_orientation(self.affine))
        return np.ascontiguousarray(orientations.apply_orientation(values, back))

    @property
    def _unit(self) -> float:
        """Millimetres of one unit of the header."""
        return _MILLIMETRES[self.header.get_xyzt_units()[0]]

    def _turned(self, along: Sequence[Any]) -> tuple[Any, Any, Any]:
        """What is said along each axis of the file, along each axis of RAS."""
        axes = _nibabel().orientations.io_orientation(self.affine)[:, 0].astype(int).tolist()
        x, y, z = (along[axes.index(axis)] for axis in range(3))
        return x, y, z


def read_nifti(path: Path) -> tuple[NDArray[Any], Grid]:
    """Read a volume: values in RAS, shape (X, Y, Z), or (C, X, Y, Z) of a 4D file of several channels.

    Values are as the file scales them; their type is its own, or float64 where it scales them.

    Raises:
        DataError: The file is missing, truncated, damaged or no NIfTI, flat, of five axes or more, of colours, has an
            affine that cannot be inverted, or holds values that are NaN or infinite.
        MissingExtraError: nibabel is not installed.
    """
    volume = _open(path)
    grid = _grid(path, volume)
    values = _values(path, volume)
    _check_finite(path, values)
    channels = grid.to_ras(values.reshape(*grid.shape, -1))
    return np.moveaxis(channels, -1, 0) if channels.shape[-1] > 1 else channels[..., 0], grid


def read_grid(path: Path) -> Grid:
    """Read where the voxels of a file lie, from its header alone; raises DataError, as read_nifti."""
    return _grid(path, _open(path))


def read_label_nifti(path: Path) -> tuple[NDArray[np.int64], Grid]:
    """Read a label map in RAS, shape (X, Y, Z).

    Raises:
        DataError: As read_nifti, or there are several channels, or labels that are not whole numbers.
    """
    values, grid = read_nifti(path)
    if values.ndim != 3:
        raise DataError(f"{path} has {len(values)} channels; a label map has one of class indices; write it so")
    labels = np.rint(values).astype(np.int64)
    odd = values[np.abs(values - labels) > TOLERANCE]
    slope, inter = _scale(path) if odd.size else (1.0, 0.0)
    if (slope, inter) != (1.0, 0.0):
        raise DataError(
            f"{path} holds the label {odd[0]:g}, for its header multiplies what is stored by {slope:g} and adds "
            f"{inter:g}; labels are whole numbers; if the stored numbers are the labels, write them unscaled: "
            "nibabel.Nifti1Image(image.dataobj.get_unscaled(), image.affine)"
        )
    if odd.size:
        raise DataError(
            f"{path} holds the label {odd[0]:g} (and {odd.size - 1} more such voxels); labels are whole numbers; if "
            "the map was resampled, take the nearest voxel in place of the mean"
        )
    return labels, grid


def write_nifti(path: Path, values: NDArray[Any], grid: Grid) -> None:
    """Write values in RAS on the grid of a file: with its orientation, affine, codes, spacing and units.

    Whole numbers are written in the first of uint8, int16 and int32 that holds them, floats as float32, none of them
    scaled. The file is there whole or not at all.

    Args:
        path: Ends in .nii or .nii.gz.
        values: Shape grid.size.
        grid: Of the file that came in.

    Raises:
        ShapeError: The values have another shape.
        InputError: The file cannot be written.
    """
    if values.shape != grid.size:
        raise ShapeError(f"values of shape {values.shape} do not fit the grid of {path.name}, which is {grid.size}")
    values = grid.from_ras(values.astype(_stored_type(values)))
    with replace_whole(path) as temporary:  # whose suffix is that of the file: nibabel goes by it
        _nibabel().save(_volume(values, grid), temporary)


def require_same_grid(path: Path, grid: Grid, other_path: Path, other: Grid) -> None:
    """Check that two files, such as an image and its labels, cover the same voxels.

    Raises:
        DataError: Their shapes differ, or their affines by more than `TOLERANCE`; the message names both.
    """
    if grid.shape != other.shape:
        raise DataError(
            f"{path} is {_shown(grid.shape)} voxels and {other_path} {_shown(other.shape)}; both must be on one grid; "
            "resample one to the other"
        )
    gap = float(np.abs(grid.affine - other.affine).max())
    if gap > TOLERANCE:
        raise DataError(
            f"{path} and {other_path} lie apart: their affines differ by up to {gap:.3g}; both must be on one grid; "
            "resample one to the other, or correct its header"
        )


def _shown(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _nibabel() -> Any:
    getLogger("nibabel.global").setLevel(CRITICAL)  # what it finds odd is refused here, or harmless
    return import_extra("nibabel", "medical")


def _open(path: Path) -> Any:
    """The file, of which only the header is read."""
    nibabel = _nibabel()
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    try:
        _check_header(path)
        volume = nibabel.load(path, mmap=False)
    except DataError:
        raise
    except Exception as error:  # nibabel raises errors of its own, and those of gzip and zlib
        raise _unreadable(path, error) from error
    if not isinstance(volume, nibabel.Nifti1Pair):
        raise DataError(f"{path} is {type(volume).__name__}, no NIfTI; convert it to .nii.gz")
    return volume


def _stream(path: Path) -> Any:
    """The bytes of a file, unpacked on the way."""
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _check_header(path: Path) -> None:
    """Judge where the voxels begin, before all that lies in front of them is read."""
    nibabel = _nibabel()
    with _stream(path) as stream:
        start = stream.read(540)
    for kind in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        if kind.may_contain_header(start):
            begin = int(kind(start[: kind.sizeof_hdr], check=False)["vox_offset"])
            if not 0 <= begin <= LONGEST_HEADER:
                raise DataError(
                    f"{path} has a header of {begin} bytes; it has {LONGEST_HEADER} at most; convert the file anew"
                )


def _check_length(path: Path, volume: Any) -> None:
    """Compare what the header claims with what is there, before memory is taken for it."""
    if math.prod(volume.shape) > MAX_VOXELS:
        raise DataError(
            f"{path} has {_shown(volume.shape)} voxels, more than {MAX_VOXELS}, the limit; cut it or resample it to a "
            "wider spacing"
        )
    claimed = volume.dataobj.offset + math.prod(volume.shape) * volume.get_data_dtype().itemsize
    if _is_shorter(path, claimed):
        raise DataError(
            f"{path} cannot be read: it is shorter than its header claims ({_shown(volume.shape)} voxels, {claimed} "
            "bytes); copy or write it again"
        )


def _is_shorter(path: Path, claimed: int) -> bool:
    """Whether a file holds fewer bytes, unpacked; at most that many are, and none is kept."""
    size = path.stat().st_size
    if not path.name.lower().endswith(".gz"):
        return size < claimed
    if size * DEFLATE_RATIO < claimed:
        return True
    with _stream(path) as stream:
        while claimed > 0 and (part := stream.read(min(claimed, CHUNK))):
            claimed -= len(part)
    return claimed > 0


def _grid(path: Path, volume: Any) -> Grid:
    shape, affine = tuple(volume.shape), volume.affine
    if len(shape) < 3 or min(shape[:3]) < 2:
        raise DataError(f"{path} is flat ({_shown(shape)}); a volume has 2 or more voxels on each of 3 axes")
    if sum(side > 1 for side in shape[3:]) > 1:
        raise DataError(f"{path} has the shape {_shown(shape)}; a volume has 3 axes, or 4 with channels last")
    if not (np.abs(affine) < LARGEST).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:  # NaN is not below
        raise DataError(f"{path} has an affine that says not where its voxels lie; correct its sform or qform")
    grid = Grid(volume.header.copy(), np.array(affine, dtype=np.float64), shape[:3])
    if not SPACING[0] <= min(grid.spacing) <= max(grid.spacing) <= SPACING[1]:
        sides = " x ".join(f"{side:.3g}" for side in grid.spacing)
        raise DataError(
            f"{path} has voxels of {sides} mm; sides are {SPACING[0]:g} to {SPACING[1]:g}; correct its sform or qform"
        )
    return grid


def _values(path: Path, volume: Any) -> NDArray[Any]:
    kind = volume.get_data_dtype()
    if kind.kind not in "iuf":
        raise DataError(f"{path} has voxels of type {kind}, such as colours; one number per voxel is read; convert it")
    try:
        _check_length(path, volume)
        return np.asanyarray(volume.dataobj)
    except DataError:
        raise
    except Exception as error:  # truncated or damaged bytes
        raise _unreadable(path, error) from error


def _scale(path: Path) -> tuple[float, float]:
    """By what a file multiplies what it stores, and what it then adds."""
    stored = _open(path).dataobj
    return float(stored.slope), float(stored.inter)


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read ({' '.join(str(error).split())}); copy or write it again")


def _check_finite(path: Path, values: NDArray[Any]) -> None:
    if values.dtype.kind != "f":
        return
    wrong = values.size - np.count_nonzero(np.abs(values) <= LARGEST)  # NaN is not
    if wrong:
        raise DataError(
            f"{path} holds {wrong} voxels that are NaN or infinite, or beyond {LARGEST:g}; give them a value, such as "
            "that of air, and write it again"
        )


def _stored_type(values: NDArray[Any]) -> type[np.generic]:
    if values.dtype.kind == "f":
        return np.float32
    low, high = values.min(), values.max()
    kinds = (np.uint8, np.int16, np.int32)
    return next((kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max), np.float32)


def _volume(values: NDArray[Any], grid: Grid) -> Any:
    """A file on the grid; what its header says of the old values (type, scale, range of display) is not kept."""
    nibabel = _nibabel()
    header = grid.header.copy()
    header.set_data_dtype(values.dtype)
    header["cal_min"], header["cal_max"] = 0, 0
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    return kind(values, grid.affine, header)
