"""An image that the caller has in memory, in any of its usual forms -> what M, G and F see.

Images of 8 and 16 bits are scaled as their files are. Whole numbers of a volume are values of a scanner, which the
window of the monitor brings to [0, 1], as it does those of a file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from synthcp.data.check import TOLERANCE
from synthcp.data.decoding import MAX_SIDE, MIN_SIDE
from synthcp.data.images import image_of_picture
from synthcp.errors import DataError
from synthcp.monitor.settings import MonitorSettings
from synthcp.nn.finite import is_finite

AnyImage = Tensor | NDArray[Any] | Image.Image
"""A tensor (C, *S), an array (C, *S) or (*S, C), or a picture of Pillow."""

LARGEST = {torch.uint8: 255, torch.uint16: 65535}
"""White, of images of whole numbers."""


def image_in_memory(given: AnyImage, settings: MonitorSettings) -> Tensor:
    """Return an image as the networks see it, shape (C, *S), float32 in [0, 1].

    Args:
        given: A tensor (C, *S), an array (C, *S) or (*S, C), or (*S) of one channel, or a picture: floats in [0, 1],
            uint8 or uint16. Whole numbers of a volume are windowed as those of a file.
        settings: Of the monitor, which say how many channels there are, and how a volume is windowed.

    Raises:
        DataError: It is of another kind, type, shape or range, or it is not clear which axis is that of the channels.
    """
    if isinstance(given, Image.Image):
        if settings.spatial_dims == 3:
            raise DataError("a picture is flat, but the monitor was fitted on volumes; give it a tensor or a file")
        return image_of_picture(given, settings.channels)
    if isinstance(given, Tensor):
        image = given.detach().as_subclass(Tensor)
    elif isinstance(given, np.ndarray):
        image = _tensor(_channels_first(given, settings))
    else:
        came = type(given).__name__
        raise DataError(f"image is a {came}; give a tensor, a NumPy array, a picture of Pillow or the path of a file")
    _require_axes(tuple(image.shape), settings.spatial_dims + 1)
    image = _scaled(image, settings)
    require_image(image[None], settings)
    return image


def require_image(batch: Tensor, settings: MonitorSettings) -> None:
    """Refuse what the networks were not fitted on.

    Args:
        batch: Images, shape (B, C, *S).
        settings: Of the monitor.

    Raises:
        DataError: It has other axes or channels, is too small or too long or no float, or a value is NaN or outside
            [0, 1].
    """
    _require_axes(tuple(batch.shape[1:]), settings.spatial_dims + 1)
    if not batch.is_floating_point():
        raise DataError(f"image is {batch.dtype}; it must be float in [0, 1]; divide it by 255 if it has 8 bits")
    channels, size = batch.shape[1], tuple(batch.shape[2:])
    if channels != settings.channels:
        last = size[-1] == settings.channels
        remedy = "move them to the front: image.movedim(-1, 0)" if last else "convert it"
        raise DataError(f"image has {channels} channels; the monitor was fitted on {settings.channels}; {remedy}")
    if min(size) < MIN_SIDE:
        raise DataError(f"image of size {size} is too small; the shortest side is {MIN_SIDE}")
    if settings.spatial_dims == 2 and max(size) > MAX_SIDE:
        raise DataError(f"image of size {size} is too long; the longest side is {MAX_SIDE}; cut it")
    _require_range(batch)


def _require_range(batch: Tensor) -> None:
    if not is_finite(batch):
        wrong = batch.numel() - int(batch.isfinite().sum())
        raise DataError(f"image has {wrong} values that are NaN or infinite; it must be in [0, 1]; give them a value")
    low, high = (float(value) for value in torch.aminmax(batch))
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise DataError(
            f"image has values from {low:.4g} to {high:.4g}; floats must be in [0, 1], neither of 8 bits nor "
            "normalised; divide by 255, or leave out the normalisation; of a volume give the file"
        )


def _require_axes(shape: tuple[int, ...], axes: int) -> None:
    if len(shape) != axes:
        wanted = "(C, H, W)" if axes == 3 else "(C, D, H, W)"
        raise DataError(f"image has the shape {shape}; it must be {wanted}; give one image, without a batch")


def _channels_first(values: NDArray[Any], settings: MonitorSettings) -> NDArray[Any]:
    """An array with its channels in front, wherever they were; one of a single channel need not have that axis."""
    channels, axes = settings.channels, settings.spatial_dims + 1
    if channels == 1 and values.ndim == axes - 1:
        return values[None]
    _require_axes(values.shape, axes)
    first, last = values.shape[0] == channels, values.shape[-1] == channels
    if first and last:
        raise DataError(
            f"image has the shape {values.shape}, whose {channels} channels may be the first axis or the last; give a "
            "tensor, whose channels come first: torch.from_numpy(image)"
        )
    if not first and not last:
        came = f"image has the shape {values.shape}, of which neither the first axis nor the last has the"
        raise DataError(f"{came} {channels} channels; the monitor was fitted on {channels}; convert it")
    return values if first else np.moveaxis(values, -1, 0)


def _tensor(values: NDArray[Any]) -> Tensor:
    """A copy of an array of any layout, byte order and precision."""
    if isinstance(values, np.ma.MaskedArray):
        raise DataError("image is a masked array; what is masked has no value here; fill it: image.filled(0)")
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
            return torch.from_numpy(np.array(values, dtype=np.float32))
    if values.dtype.kind not in "bui":
        raise DataError(
            f"image is an array of {values.dtype}; it must be of floats in [0, 1], uint8 or uint16; convert it"
        )
    return torch.from_numpy(np.array(values, dtype=values.dtype.newbyteorder("=")))


def _scaled(image: Tensor, settings: MonitorSettings) -> Tensor:
    """Any number as a float32; whole numbers brought to [0, 1]."""
    if image.is_floating_point():
        return image.float()
    if settings.spatial_dims == 3:
        return _windowed(image, settings)
    if image.dtype not in LARGEST:
        raise DataError(f"image is {image.dtype}; it must be float in [0, 1], uint8 or uint16; convert it to one")
    return image.float() / LARGEST[image.dtype]


def _windowed(volume: Tensor, settings: MonitorSettings) -> Tensor:
    preparation = settings.preparation
    if volume.dtype == torch.bool or volume.is_complex() or preparation is None or preparation.spacing is not None:
        raise DataError(
            f"volume is {volume.dtype}; whole numbers are windowed, as a file's, only where any spacing will do; "
            "an array tells nothing of its own; give the file, or floats in [0, 1] at the monitor's spacing"
        )
    return preparation.windowed(volume.cpu().numpy())
