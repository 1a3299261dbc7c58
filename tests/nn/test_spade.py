from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.nn.spade import Spade, SpadeBlock

LAYOUT = F.one_hot(torch.randint(3, (2, 12, 16), generator=torch.Generator().manual_seed(0)), 3).movedim(-1, 1).float()


def modulated(spade: Spade, features: Tensor) -> Tensor:
    """Eq. 1 of SPADE, with the statistics of the batch."""
    axes = (0, 2, 3)
    mean = features.mean(axes, keepdim=True)
    deviation = (features.var(axes, unbiased=False, keepdim=True) + 1e-5).sqrt()
    step = LAYOUT.shape[-1] // features.shape[-1]
    layout = LAYOUT[:, :, ::step, ::step]

    def conv(name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, spade.get_parameter(f"{name}.weight"), spade.get_parameter(f"{name}.bias"), padding=1)

    embedding = conv("shared", layout).clamp(min=0)
    return (features - mean) / deviation * (1 + conv("gamma", embedding)) + conv("beta", embedding)


@pytest.mark.parametrize("size", [(12, 16), (6, 8), (3, 4)])
def test_modulation_follows_the_labels(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    spade = Spade(2, channels=5, classes=3, hidden=4)
    features = 3 * torch.randn(2, 5, *size) + 1
    torch.testing.assert_close(spade(features, LAYOUT), modulated(spade, features))


@pytest.mark.parametrize(("before", "after"), [(5, 5), (6, 4), (4, 6)])
def test_block(before: int, after: int) -> None:
    torch.manual_seed(0)
    block = SpadeBlock(2, before, after, classes=3, hidden=4).train()
    features = torch.randn(2, before, 6, 8)
    result = block(features, LAYOUT)
    residual = features
    for spade, convolution in ((block.spade1, block.conv1), (block.spade2, block.conv2)):
        residual = convolution.eval()(F.leaky_relu(modulated(spade, residual), 0.2))
    shortcut = features
    if before != after:
        shortcut = block.conv_shortcut.eval()(modulated(block.spade_shortcut, features))
    torch.testing.assert_close(result, shortcut + residual)


def test_convolutions_have_spectral_norm_one() -> None:
    torch.manual_seed(0)
    block = SpadeBlock(2, 6, 4, classes=3, hidden=4)
    for _ in range(30):
        block(torch.randn(2, 6, 6, 8), LAYOUT)
    for convolution in (block.conv1, block.conv2, block.conv_shortcut):
        kernel = convolution.eval().weight.flatten(1)
        assert torch.linalg.matrix_norm(kernel, 2).item() == pytest.approx(1, abs=1e-3)
