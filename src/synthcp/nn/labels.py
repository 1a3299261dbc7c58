"""Label maps as network inputs."""

from __future__ import annotations

import torch
from torch import Tensor


def one_hot(label_map: Tensor, classes: int) -> Tensor:
    """Encode a label map; a pixel outside the classes (the ignore index) becomes the all-zero vector.

    Args:
        label_map: int64, shape (B, *S).
        classes: L, the number of classes.

    Returns:
        float32, shape (B, L, *S).

    >>> one_hot(torch.tensor([[0, 2, 255]]), 3)[0].T.tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    index = torch.arange(classes, device=label_map.device).view(1, classes, *[1] * (label_map.ndim - 1))
    return (label_map.unsqueeze(1) == index).float()
