"""The generator G: label map -> image."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class Generator(nn.Module):
    """Draws an image from a label map (eq. 3)."""

    @abstractmethod
    def forward(self, label_map: Tensor) -> Tensor:
        """Draw.

        Args:
            label_map: y or y_hat, int64, shape (B, *S); pixels of the ignore index are drawn from no class.

        Returns:
            x_hat, shape (B, C, *S), in [0, 1].
        """
