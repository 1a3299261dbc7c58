"""Paired views of an image and its label map, for any number of spatial axes; all chance comes from a generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.errors import InputError


@dataclass(frozen=True)
class Window:
    """A box of an image, to be seen at another size.

    Attributes:
        start: First pixel, per spatial axis.
        size: Per spatial axis.
        flip: Whether left and right are mirrored: the last axis of an image (H, W), the first of a volume (X, Y, Z).
    """

    start: tuple[int, ...]
    size: tuple[int, ...]
    flip: bool = False


def resize(image: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (C, *S) to (C, *size): bilinear with antialias in 2D, trilinear in 3D."""
    if tuple(image.shape[1:]) == tuple(size):
        return image
    if image.shape[0] == 0:  # an image without channels, which F.interpolate refuses
        return image.new_zeros(0, *size)
    if image.ndim == 3:
        return F.interpolate(image[None], tuple(size), mode="bilinear", antialias=True)[0]
    return F.interpolate(image[None], tuple(size), mode="trilinear")[0]


def resize_labels(label_map: Tensor, size: Sequence[int]) -> Tensor:
    """Resize the last len(size) axes to the nearest pixel centre; values and dtype are kept."""
    for axis, new in enumerate(size, start=label_map.ndim - len(size)):
        old = label_map.shape[axis]
        # Centre of new pixel i in old pixels: (i + 1/2) old / new, in whole numbers to be exact.
        nearest = (2 * torch.arange(new, device=label_map.device) + 1) * old // (2 * new)
        label_map = label_map.index_select(axis, nearest)
    return label_map


def short_side(shape: Sequence[int], target: int) -> tuple[int, ...]:
    """Size at which the shortest side is target and the aspect is kept, to the pixel."""
    return tuple(round(side * target / min(shape)) for side in shape)


def random_window(
    shape: Sequence[int], crop: Sequence[int], zoom: tuple[float, float], generator: torch.Generator
) -> Window:
    """Draw a box of the crop's aspect inside the shape, flipped half of the time.

    Args:
        shape: S of the image.
        crop: Size at which the box will be seen; only its aspect matters here.
        zoom: Range of the magnification, uniform; at 1 the box is the largest that fits, at 2 half of that per side.
        generator: On the CPU.

    Raises:
        InputError: A zoom below 1, at which the box would not fit.
    """
    largest = min(side / wanted for side, wanted in zip(shape, crop, strict=True))
    return _window(shape, [wanted * largest for wanted in crop], zoom, generator)


def random_patch(
    shape: Sequence[int], patch: Sequence[int], zoom: tuple[float, float], generator: torch.Generator
) -> Window:
    """Draw a box of the patch's own size, so that a voxel keeps its size in millimetres, flipped half of the time.

    Args:
        shape: S of the volume, no side smaller than the patch's (`nn.padding.at_least` sees to that).
        patch: Size at which the box will be seen.
        zoom: Range of the magnification, uniform; at 1 the box has the patch's size, at 2 half of that per side.
        generator: On the CPU.

    Raises:
        InputError: A zoom below 1, or a volume smaller than the patch.
    """
    if any(side < wanted for side, wanted in zip(shape, patch, strict=True)):
        raise InputError(f"a volume of {tuple(shape)} is smaller than the patch {tuple(patch)}; pad it first")
    return _window(shape, patch, zoom, generator)


def _window(
    shape: Sequence[int], largest: Sequence[float], zoom: tuple[float, float], generator: torch.Generator
) -> Window:
    """A box of the largest size over a magnification, anywhere in the shape."""
    if min(zoom) < 1:
        raise InputError(f"zoom {zoom} goes below 1, where the window would not fit the image; use 1 or more")
    chances = torch.rand(2 + len(shape), generator=generator).tolist()
    factor = zoom[0] + chances[0] * (zoom[1] - zoom[0])
    size = tuple(max(1, round(side / factor)) for side in largest)
    start = tuple(
        int(chance * (side - extent + 1)) for chance, side, extent in zip(chances[2:], shape, size, strict=True)
    )
    return Window(start, size, flip=chances[1] < 0.5)


def view(tensor: Tensor, window: Window, size: Sequence[int], mode: Literal["linear", "nearest"]) -> Tensor:
    """Cut the window out of the last axes, flip it and resize it to size.

    Args:
        tensor: (C, *S) float for "linear"; for "nearest" also (*S), of any dtype, which is kept.
        window: As drawn by `random_window` from S; the same one keeps an image and its label map paired.
        size: The size to see it at.
        mode: "linear" for images, "nearest" for label maps and masks.
    """
    leading = tensor.ndim - len(window.size)
    for axis, (first, extent) in enumerate(zip(window.start, window.size, strict=True), start=leading):
        tensor = tensor.narrow(axis, first, extent)
    if window.flip:
        tensor = tensor.flip(leading if len(window.size) == 3 else -1)
    return resize(tensor, size) if mode == "linear" else resize_labels(tensor, size)


def jitter(image: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change gain per channel, contrast, brightness and gamma of (C, *S) at random; the result stays in [0, 1].

    Each of them is drawn uniformly within strength (0 changes nothing, 0.2 is plainly visible): gain and contrast are
    factors 1 ± strength, brightness is a shift of ± strength, gamma an exponent between 2^-strength and 2^strength.
    """
    chances = torch.rand(3 + len(image), generator=generator).to(image)
    draws = strength * (2 * chances - 1)
    contrast, brightness, gamma = draws[:3].unbind()
    gain = 1 + draws[3:]
    balanced = image * gain.reshape(-1, *[1] * (image.ndim - 1))
    toned = balanced + contrast * (balanced - balanced.mean()) + brightness
    return toned.clamp(0, 1).pow(torch.exp2(gamma))
