"""The generator G: label map -> image."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from synthcp.nn.tiling import tiled


class Generator(nn.Module):
    """Draws an image from a label map (eq. 3).

    Attributes:
        patch: Size of the windows that it learnt from, in which it draws what is larger; empty draws all at once.
    """

    patch: tuple[int, ...] = ()

    @abstractmethod
    def forward(self, label_map: Tensor, image: Tensor) -> Tensor:
        """Draw all at once.

        Args:
            label_map: y or y_hat, int64, shape (B, *S); pixels of the ignore index are drawn from no class.
            image: x, shape (B, C, *S), in [0, 1]: whose style the drawing may take; a plain generator ignores it.

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
        """
        if not self.patch:
            drawing: Tensor = self(label_map, image)
            return drawing
        window = [min(sides) for sides in zip(label_map.shape[1:], self.patch, strict=True)]
        overlap = [side // 4 for side in window]
        pair = torch.cat([label_map[:, None].float(), image], dim=1)
        (drawing,) = tiled(lambda part: [self(part[:, 0].long(), part[:, 1:])], pair, window, overlap)
        return drawing

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
