"""The generator G: label map -> image."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from synthcp.nn.tiling import tiled


class Generator(nn.Module):
    """Draws an image from a label map (eq. 3).

    Attributes:
        patch: Size of the windows that it learnt from, in which it draws what is larger; empty draws all at once.
    """

    patch: tuple[int, ...] = ()

    @abstractmethod
    def forward(self, label_map: Tensor) -> Tensor:
        """Draw all at once, as in training.

        Args:
            label_map: y or y_hat, int64, shape (B, *S); pixels of the ignore index are drawn from no class.

        Returns:
            x_hat, shape (B, C, *S), in [0, 1].
        """

    def draw(self, label_map: Tensor) -> Tensor:
        """Draw a label map of any size: in windows of the patch that overlap by a quarter, averaged where they meet.

        Args:
            label_map: As in forward.

        Returns:
            As forward does; a side that is smaller than the patch's is drawn as it is.
        """
        if not self.patch:
            image: Tensor = self(label_map)
            return image
        window = [min(sides) for sides in zip(label_map.shape[1:], self.patch, strict=True)]
        overlap = [side // 4 for side in window]
        (image,) = tiled(lambda labels: [self(labels[:, 0])], label_map[:, None], window, overlap)
        return image
