from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.nn.labels import one_hot
from synthcp.nn.spatial import SpatialDims
from synthcp.synthesis.spade import SpadeConfig
from synthcp.synthesis.style_encoder import StyledSpadeGenerator, StyleEncoder, StyleEncoderConfig

SPADE = SpadeConfig(3, width=4, hidden=4, multipliers=(2, 2, 1))
STYLE = StyleEncoderConfig(width=4, halvings=2, latent=5)
SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (19, 26), 3: (8, 12, 9)}


def styled(dims: SpatialDims = 2) -> StyledSpadeGenerator:
    torch.manual_seed(0)
    generator = StyledSpadeGenerator(dims, SPADE, STYLE).eval()
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.3)
    return generator


def scene(dims: SpatialDims = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    chance, size = torch.Generator().manual_seed(seed), SIZES[dims]
    return torch.randint(3, (2, *size), generator=chance), torch.rand(2, 3, *size, generator=chance)


def test_spades_encoder_has_its_parameters() -> None:
    with torch.device("meta"):
        encoder = StyleEncoder(2, 3, StyleEncoderConfig())
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 10_463_424


@torch.no_grad()
def test_a_style_is_that_of_a_short_reference() -> None:
    encoder, image = styled().encoder, torch.rand(2, 3, 19, 26)
    x = F.interpolate(image, (16, 16), mode="bilinear", antialias=True) * 2 - 1
    for convolution, _ in encoder.layers:
        x = F.leaky_relu(F.instance_norm(F.conv2d(x, convolution.weight, stride=2, padding=1)), 0.2)
    mean, log_variance = (
        F.linear(x.flatten(1), *layer.parameters()) for layer in encoder.children() if layer is not encoder.layers
    )
    style = encoder(image)
    torch.testing.assert_close(style.mean, mean)
    torch.testing.assert_close(style.variance, log_variance.exp())
    assert not torch.allclose(mean[0], mean[1], atol=0.01)


@pytest.mark.parametrize("dims", [2, 3])
@torch.no_grad()
def test_in_use_a_drawing_starts_from_the_mean_of_the_style(dims: SpatialDims) -> None:
    generator, (label_map, image) = styled(dims), scene(dims)
    start = generator.start(generator.encoder(image).mean).view(2, 8, *(4,) * dims)
    expected = generator.paint(start, one_hot(label_map, 3))
    assert generator(label_map, image).equal(expected)


@torch.no_grad()
def test_in_training_a_drawing_starts_from_a_style_of_the_distribution() -> None:
    generator, (label_map, image) = styled(), scene()
    drawn: list[Tensor] = []
    generator.start.register_forward_pre_hook(lambda _, inputs: drawn.append(inputs[0]))
    label_maps, images = (part[:1].expand(2000, *part.shape[1:])[..., :4, :4] for part in (label_map, image))
    generator.rehearse(label_maps, images)
    style = generator.encoder(images[:1])
    torch.testing.assert_close((drawn[0] - style.mean).mean(dim=0) / style.stddev[0], torch.zeros(5), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn[0].std(dim=0) / style.stddev[0], torch.ones(5), atol=0.1, rtol=0)


@torch.no_grad()
def test_the_divergence_is_that_from_the_standard_normal_distribution() -> None:
    generator, (label_map, image) = styled(), scene()
    features: list[Tensor] = []
    for layer in (generator.encoder.to_mean, generator.encoder.to_log_variance):
        layer.register_forward_hook(lambda _, inputs, output: features.append(output))
    _, divergence = generator.rehearse(label_map, image)
    mean, log_variance = features
    expected = sum(
        float(m**2 + v.exp() - v - 1) / 2 for m, v in zip(mean.flatten(), log_variance.flatten(), strict=True)
    )
    assert divergence.item() == pytest.approx(expected / 2, rel=1e-5)  # of two images


def test_the_drawing_moves_every_part_of_the_encoder() -> None:
    generator, (label_map, image) = styled().train(), scene()
    synthesis, _ = generator.rehearse(label_map, image)
    (synthesis**2).sum().backward()
    kernels = [parameter.grad for parameter in generator.encoder.parameters() if parameter.ndim > 1]
    assert len(kernels) == 4 and all(gradient is not None and gradient.abs().max() > 1e-3 for gradient in kernels)
