"""The generator G: label map -> image."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synthcp.nn.finite import require_finite
from synthcp.nn.spatial import SpatialDims
from synthcp.nn.tiling import tiled
from synthcp.synthesis.losses import AdversarialForm


@dataclass(frozen=True)
class GeneratorShape:
    """What a generator is built for; each takes what it needs of it.

    Attributes:
        spatial_dims: 2 or 3.
        classes: L.
        channels: Of the image.
        width: Channels of SPADE's last block.
        hidden: Channels of SPADE's label embeddings.
        multipliers: Of SPADE's blocks.
        patch: See Generator.
    """

    spatial_dims: SpatialDims
    classes: int
    channels: int = 3
    width: int = 64
    hidden: int = 128
    multipliers: tuple[int, ...] = (16, 16, 16, 8, 4, 2, 1)
    patch: tuple[int, ...] = ()


class Generator(nn.Module):
    """Draws an image from a label map (eq. 3).

    Attributes:
        adversarial: The form of eq. 1-2 by which it is trained.
        patch: Size of the windows that it learnt from, in which it draws what is larger; empty draws all at once.
    """

    adversarial: AdversarialForm = "hinge"
    patch: tuple[int, ...] = ()

    @abstractmethod
    def forward(self, label_map: Tensor, image: Tensor) -> Tensor:
        """Draw all at once.

        Args:
            label_map: y or y_hat, int64, shape (B, *S); pixels of the ignore index are drawn from no class.
            image: x, shape (B, C, *S), in [0, 1]: whose style the synthesis may take; a plain generator ignores it.

        Returns:
            x_hat, shape (B, C, *S), in [0, 1].
        """

    def draw(self, label_map: Tensor, image: Tensor) -> Tensor:
        """Draw a label map of any size: in windows of the patch that overlap by a quarter, averaged where they meet.

        Args:
            label_map: As in forward.
            image: As in forward.

        Returns:
            As forward does; a side that is smaller than the patch's is drawn as it is.

        Raises:
            DataError: A value is NaN or infinite.
        """
        synthesis = self._by_windows(label_map, image)
        require_finite("G", synthesis)
        return synthesis

    def _by_windows(self, label_map: Tensor, image: Tensor) -> Tensor:
        if not self.patch:
            whole: Tensor = self(label_map, image)
            return whole
        window = [min(sides) for sides in zip(label_map.shape[1:], self.patch, strict=True)]
        overlap = [side // 4 for side in window]
        pair = torch.cat([label_map[:, None].float(), image], dim=1)
        (synthesis,) = tiled(lambda part: [self(part[:, 0].long(), part[:, 1:])], pair, window, overlap)
        return synthesis

    def rehearse(self, label_map: Tensor, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Draw in training.

        Args:
            label_map: As in forward.
            image: As in forward.

        Returns:
            x_hat as forward does, and how far the style of the image lies from a usual one, which training keeps
            small: a scalar, or None of a generator that has no style.
        """
        return self(label_map, image), None


def in_unit_range(values: Tensor, *, in_use: bool) -> Tensor:
    """Bring what G's last layer gives to [0, 1], smoothly.

    Args:
        values: Of any range and shape.
        in_use: Whether to look for NaN and infinity, which this would hide; a training finds them in its losses.

    Raises:
        DataError: A value is NaN or infinite.
    """
    if in_use:
        require_finite("G", values)
    return (values.tanh() + 1) / 2
