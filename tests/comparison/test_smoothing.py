from __future__ import annotations

import pytest
import torch
from scipy.ndimage import convolve1d, gaussian_filter

from synthcp.comparison.smoothing import gaussian_smooth


@pytest.mark.parametrize("size", [(11, 17), (5, 8, 6)])
@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.3, 6.0])
def test_smoothing_is_scipys(size: tuple[int, ...], sigma: float) -> None:
    score = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
    smooth = gaussian_smooth(score, sigma)
    assert smooth.shape == score.shape
    for one, expected in zip(smooth, score, strict=True):
        oracle = gaussian_filter(expected.numpy(), sigma, mode="nearest")
        torch.testing.assert_close(one, torch.from_numpy(oracle), atol=1e-5, rtol=1e-5)


def test_dilated_taps_are_apart() -> None:
    score = torch.randn(1, 9, 14, generator=torch.Generator().manual_seed(0))
    taps = torch.exp(-torch.arange(-3, 4).double().square() / 2)
    kernel = torch.zeros(13, dtype=torch.float64)
    kernel[::2] = taps / taps.sum()
    oracle = score[0].double().numpy()
    for axis in (0, 1):
        oracle = convolve1d(oracle, kernel.numpy(), axis, mode="nearest")
    smooth = gaussian_smooth(score, 1.0, truncate=3.0, dilation=2)
    torch.testing.assert_close(smooth[0].double(), torch.from_numpy(oracle), atol=1e-6, rtol=1e-6)


def test_no_width_changes_nothing_and_a_constant_stays() -> None:
    score = torch.randn(1, 4, 5)
    assert gaussian_smooth(score, 0.0) is score
    torch.testing.assert_close(gaussian_smooth(torch.full((1, 4, 5), 3.0), 9.0), torch.full((1, 4, 5), 3.0))


def test_autocast_does_not_tie_what_differs() -> None:
    score = torch.randn(1, 9, 14, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        smooth = gaussian_smooth(score, 1.0)
    assert smooth.equal(gaussian_smooth(score, 1.0))
