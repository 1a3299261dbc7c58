from __future__ import annotations

import pytest
import torch
from torch import nn

from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator


@pytest.mark.parametrize(("classes", "parameters"), [(19, 92_538_819), (13, 92_359_107)])
def test_the_papers_generator_has_spades_parameters(classes: int, parameters: int) -> None:
    with torch.device("meta"):
        generator = SpadeGenerator(2, SpadeConfig(classes))
    assert sum(parameter.numel() for parameter in generator.parameters()) == parameters


def test_the_papers_generator_starts_at_8_by_4_for_512_by_256() -> None:
    sizes = []
    with torch.device("meta"):
        generator = SpadeGenerator(2, SpadeConfig(19, width=1, hidden=1))
        for block in generator.blocks:
            block.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape[2:])))
        generator(torch.empty(1, 256, 512, dtype=torch.int64), torch.empty(1, 3, 256, 512))
    assert sizes == [(4 * 2**doubling, 8 * 2**doubling) for doubling in range(7)]


def test_only_kernels_without_spectral_norm_start_small() -> None:
    torch.manual_seed(0)
    generator = SpadeGenerator(2, SpadeConfig(3, width=8, hidden=16, multipliers=(2, 1)))
    plain = generator.get_parameter("blocks.1.spade1.gamma.weight")
    normalized = generator.get_parameter("blocks.1.conv1.parametrizations.weight.original")
    fan = 9 * (16 + 16)  # 3x3, from 16 to 16 channels: Xavier with gain 0.02
    assert plain.std().item() == pytest.approx(0.02 * (2 / fan) ** 0.5, rel=0.1)
    assert normalized.std().item() > 0.01
    biases = [
        module.bias for module in generator.modules() if isinstance(module, nn.Conv2d) and module.bias is not None
    ]
    assert biases and all(bias.count_nonzero() == 0 for bias in biases)
