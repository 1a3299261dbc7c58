from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.synthesis.pix2pixhd import Pix2PixHDConfig, Pix2PixHDGenerator


def test_the_papers_generator_has_its_parameters() -> None:
    with torch.device("meta"):
        generator = Pix2PixHDGenerator(2, Pix2PixHDConfig(36))  # 35 labels of Cityscapes, and the edges of instances
    assert sum(parameter.numel() for parameter in generator.parameters()) == 182_546_755


def small() -> Pix2PixHDGenerator:
    torch.manual_seed(0)
    generator = Pix2PixHDGenerator(2, Pix2PixHDConfig(3, out_channels=2, width=4, halvings=2, blocks=1))
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return generator


def reference(generator: Pix2PixHDGenerator, layout: Tensor) -> Tensor:
    """Two halvings, one block, two doublings, of a layout (B, L, H, W) whose sides are multiples of four."""
    parameters = list(generator.parameters())
    pairs = iter(zip(parameters[::2], parameters[1::2], strict=True))
    x = F.relu(F.instance_norm(F.conv2d(F.pad(layout, (3,) * 4, mode="reflect"), *next(pairs))))
    for _ in range(2):
        x = F.relu(F.instance_norm(F.conv2d(x, *next(pairs), stride=2, padding=1)))
    residual = F.relu(F.instance_norm(F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), *next(pairs))))
    x = x + F.instance_norm(F.conv2d(F.pad(residual, (1,) * 4, mode="reflect"), *next(pairs)))
    for _ in range(2):
        x = F.relu(F.instance_norm(F.conv_transpose2d(x, *next(pairs), stride=2, padding=1, output_padding=1)))
    x = F.conv2d(F.pad(x, (3,) * 4, mode="reflect"), *next(pairs))
    return (x.tanh() + 1) / 2


@torch.no_grad()
def test_a_drawing_is_that_of_a_short_reference() -> None:
    generator, label_map = small(), torch.randint(3, (2, 16, 28))
    layout = F.one_hot(label_map, 3).movedim(-1, 1).float()
    synthesis = generator(label_map, torch.rand(2, 2, 16, 28))
    torch.testing.assert_close(synthesis, reference(generator, layout))
    assert synthesis.std() > 0.1


@pytest.mark.parametrize(("size", "drawn"), [((13, 22), (16, 24)), ((3, 17), (8, 20)), ((1, 8), (8, 8))])
@torch.no_grad()
def test_another_size_is_drawn_with_its_border_repeated(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    generator, label_map = small(), torch.randint(3, (2, *size))
    rows, columns = (torch.arange(wanted).clamp(max=side - 1) for side, wanted in zip(size, drawn, strict=True))
    layout = F.one_hot(label_map[:, rows][:, :, columns], 3).movedim(-1, 1).float()
    expected = reference(generator, layout)[..., : size[0], : size[1]]
    torch.testing.assert_close(generator(label_map, torch.rand(2, 2, *size)), expected)


def test_every_parameter_gets_a_gradient() -> None:
    generator = small()
    (generator(torch.randint(3, (2, 16, 20)), torch.rand(2, 2, 16, 20)) ** 2).mean().backward()
    kernels = [parameter.grad for parameter in generator.parameters() if parameter.ndim == 4]
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in kernels)


def test_kernels_start_at_the_published_spread() -> None:
    torch.manual_seed(0)
    generator = Pix2PixHDGenerator(2, Pix2PixHDConfig(3, width=8, halvings=1, blocks=1))
    for kernel in (parameter for parameter in generator.parameters() if parameter.ndim == 4):
        assert kernel.std().item() == pytest.approx(0.02, rel=0.1)
