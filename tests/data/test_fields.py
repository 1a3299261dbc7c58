from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from synthcp.data.fields import blurred, smooth_field


@pytest.mark.parametrize("size", [(2, 15, 12, 9), (3, 21, 34)])
def test_the_blur_is_that_of_scipy(size):
    image = torch.rand(size, generator=torch.Generator().manual_seed(0))
    expected = [gaussian_filter(channel, 1.3, mode="nearest", radius=4) for channel in image.numpy()]
    np.testing.assert_allclose(blurred(image, 1.3), expected, atol=1e-6)
    assert blurred(image, 0.1) is image


def test_a_field_is_smooth_and_of_unit_spread():
    generator = torch.Generator().manual_seed(0)
    fields = torch.stack([smooth_field((24, 18, 12), 3, generator) for _ in range(200)])
    assert fields.shape == (200, 1, 24, 18, 12)
    corners = fields[:, 0, 0, -1, 0]
    assert corners.mean().abs() < 0.3 and corners.std() == pytest.approx(1, abs=0.2)
    assert fields.diff(dim=2).abs().mean() < 0.15
