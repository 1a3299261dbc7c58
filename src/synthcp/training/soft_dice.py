"""The overlap of class probabilities with the truth, as a loss that small structures weigh in as much as large ones."""

from __future__ import annotations

from torch import Tensor


def soft_dice(probabilities: Tensor, masks: Tensor, background: int | None = 0) -> Tensor:
    """Return the soft Dice of every class but the background, shape (B, L - 1), in (0, 1].

    One more pixel is counted as right, so that a class that is rightly absent has an overlap of 1.

    Args:
        probabilities: shape (B, L, *S).
        masks: One-hot, same shape; pixels without a class count nowhere.
        background: Index of the class to leave out; None keeps all, shape (B, L).
    """
    probabilities, masks = probabilities.flatten(2), masks.flatten(2)
    known = masks.any(dim=1, keepdim=True)
    both = (probabilities * masks).sum(dim=2)
    overlap = (2 * both + 1) / ((probabilities * known).sum(dim=2) + masks.sum(dim=2) + 1)
    return overlap[:, [label for label in range(overlap.shape[1]) if label != background]]
