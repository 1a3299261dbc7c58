"""Smoothing of score maps, in two and three dimensions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_smooth(score: Tensor, sigma: float, *, truncate: float = 4.0, dilation: int = 1) -> Tensor:
    """Convolve a score map with a Gaussian, axis by axis; beyond the border, the border's pixel is repeated.

    Args:
        score: Shape (B, *S).
        sigma: Standard deviation, in taps; 0 changes nothing.
        truncate: After how many standard deviations the kernel ends.
        dilation: Pixels from one tap of the kernel to the next.

    Returns:
        Same shape; with a dilation of 1, scipy.ndimage.gaussian_filter(mode="nearest").
    """
    if sigma <= 0:
        return score
    kernel = _gaussian(sigma, int(truncate * sigma + 0.5)).to(score)
    with torch.autocast(score.device.type, enabled=False):  # bf16 would tie scores that differ
        for axis in range(1, score.ndim):
            score = _convolve(score.movedim(axis, -1), kernel, dilation).movedim(-1, axis)
    return score


def _gaussian(sigma: float, radius: int) -> Tensor:
    weights = (-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma).square()).exp()
    return weights / weights.sum()


def _convolve(score: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    """Convolve along the last axis."""
    reach = dilation * (len(kernel) // 2)
    lines = score.reshape(-1, 1, score.shape[-1])
    padded = F.pad(lines, (reach, reach), mode="replicate")
    return F.conv1d(padded, kernel[None, None], dilation=dilation).view(score.shape)
