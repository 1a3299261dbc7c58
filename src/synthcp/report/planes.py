"""Three planes through the worst voxel: how a volume becomes pictures like those of a flat image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.data.transforms import resize, resize_labels

PANEL = 320
"""Width and height of the square in which each plane lies, in pixels."""

RULE = (
    "axial, coronal and sagittal plane through the middle of the 3 x 3 x 3 voxels with the highest mean probability of "
    "error; the patient's right is on the left (radiological convention), in the sagittal plane the front"
)
PLANES = (("axial", "R", "L"), ("coronal", "R", "L"), ("sagittal", "A", "P"))
"""The planes from the left to the right of a picture, and the side of the patient at the left and right of each."""

_ACROSS = (2, 1, 0)
"""The axis in RAS that each plane lies across."""


@dataclass(frozen=True)
class Planes:
    """Three orthogonal planes of a volume in RAS, whatever the number of its voxels.

    Attributes:
        at: The point in which they meet, as shares of the three axes, in (0, 1).
        extent: Of the volume along the three axes, in mm.
    """

    at: tuple[float, ...]
    extent: tuple[float, ...]

    @classmethod
    def worst(cls, error_map: Tensor, extent: Sequence[float]) -> Planes:
        """Return the planes through the worst voxel: the middle of the 3 x 3 x 3 voxels with the highest mean.

        Args:
            error_map: shape (X, Y, Z), in RAS; larger = more likely wrong.
            extent: Of the volume, in mm.
        """
        mean = F.avg_pool3d(error_map[None, None].float(), 3, stride=1, padding=1, count_include_pad=False)
        voxel = torch.unravel_index(mean.argmax(), error_map.shape)
        at = ((int(index) + 0.5) / side for index, side in zip(voxel, error_map.shape, strict=True))
        return cls(tuple(at), tuple(extent))

    def of(self, volume: Tensor, fill: float = 0.0) -> Tensor:
        """Return the planes side by side: axial, coronal, sagittal, anterior or superior up.

        Args:
            volume: shape (..., X, Y, Z), in RAS; whole numbers are labels, of which the nearest is taken.
            fill: What lies around a plane that is no square.

        Returns:
            Shape (..., PANEL, 3 * PANEL).
        """
        return torch.cat([self._panel(volume, axis, fill) for axis in _ACROSS], dim=-1)

    def _panel(self, volume: Tensor, axis: int, fill: float) -> Tensor:
        index = int(self.at[axis] * volume.shape[axis - 3])
        plane = volume.select(axis - 3, index).transpose(-1, -2).flip(-1, -2)
        width, height = (extent for other, extent in enumerate(self.extent) if other != axis)
        size = tuple(max(1, round(PANEL * side / max(self.extent))) for side in (height, width))
        top, left = (PANEL - size[0]) // 2, (PANEL - size[1]) // 2
        margins = (left, PANEL - size[1] - left, top, PANEL - size[0] - top)
        return F.pad(_resized(plane, size), margins, value=fill)


def _resized(plane: Tensor, size: tuple[int, ...]) -> Tensor:
    if plane.is_floating_point():
        return resize(plane.reshape(-1, *plane.shape[-2:]), size).reshape(*plane.shape[:-2], *size)
    return resize_labels(plane, size)
