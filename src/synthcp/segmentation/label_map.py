"""y_hat at the size of an image: the argmax of M's logits, which are resized in bands of rows, never as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.nn.spatial import resize

BAND = 64
"""Rows that are resized at a time; a band of one class stays in the cache."""


def label_map_at(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Return y_hat at another size, as the argmax of the resized logits, of equal ones the first.

    Only the classes that can win in a band are resized there. Where the two best logits of a pixel are equal to the
    last bits of float32, rounding may choose the other class than `resize(logits, size).argmax(1)`.

    Args:
        logits: Shape (B, L, *s).
        size: S.

    Returns:
        Shape (B, *S), int64.
    """
    if tuple(logits.shape[2:]) == tuple(size):
        return logits.argmax(dim=1)
    winning, wide = _can_win(logits), resize(logits.contiguous(), (logits.shape[2], *size[1:]))
    above, below, share = _between(logits.shape[2], size[0], logits.device)
    label_map = torch.empty(len(logits), *size, dtype=torch.int64, device=logits.device)
    for start in range(0, size[0], BAND):
        band = slice(start, start + BAND)
        classes = winning[:, above[band]].any(dim=1).nonzero().flatten().tolist()
        label_map[:, band] = _best(wide, classes, (above[band], below[band]), share[band])
    return label_map


def _can_win(logits: Tensor) -> Tensor:
    """Which classes can be the largest anywhere between two rows of pixels, shape (L, s[0]), by the first row.

    Between neighbours the resized logit of a class lies between its smallest and its largest there. So a class loses
    where its largest is below the smallest of another.
    """
    pool = F.max_pool2d if logits.ndim == 4 else F.max_pool3d
    corners = F.pad(logits, [0, 1] * (logits.ndim - 2), mode="replicate")
    largest, smallest = pool(corners, 2, stride=1), -pool(-corners, 2, stride=1)
    return (largest >= smallest.amax(dim=1, keepdim=True)).flatten(3).any(dim=3).any(dim=0)


def _between(rows: int, wanted: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Between which two rows each of the wanted ones lies, and how far from the first: as `resize` has it."""
    place = ((torch.arange(wanted, dtype=torch.float32, device=device) + 0.5) * (rows / wanted) - 0.5).clamp_min(0)
    above = place.long().clamp_max(rows - 1)
    return above, (above + 1).clamp_max(rows - 1), place - above


def _best(wide: Tensor, classes: Sequence[int], rows: tuple[Tensor, Tensor], share: Tensor) -> Tensor:
    """The best of the classes in a band of rows, shape (B, rows, ...), uint8 if they fit."""
    above, below = rows
    share = share.view(-1, *[1] * (wide.ndim - 3))
    best, labels = None, None
    for label in classes:
        scores = torch.lerp(wide[:, label].index_select(1, above), wide[:, label].index_select(1, below), share)
        if best is None or labels is None:
            best = scores
            labels = torch.full_like(scores, label, dtype=torch.uint8 if wide.shape[1] <= 256 else torch.int64)
        else:
            labels.masked_fill_(scores > best, label)
            best = torch.maximum(scores, best)
    assert labels is not None  # the class with the largest of the smallest can always win
    return labels
