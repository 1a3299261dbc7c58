from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.segmentation.pspnet import PSPNet, PSPNetConfig


def tiny(pyramid: tuple[int, ...] = (1, 2)) -> PSPNet:
    torch.manual_seed(0)
    return PSPNet(2, PSPNetConfig(classes=3, depth=18, width=4, pyramid=pyramid, hidden=5)).eval()


def means_of_regions(features: Tensor, count: int) -> Tensor:
    """Region i of n along an axis of N goes from floor(i N / n) to ceil((i + 1) N / n)."""
    height, width = features.shape[2:]
    pooled = torch.empty(*features.shape[:2], count, count)
    for i in range(count):
        for j in range(count):
            rows = slice(i * height // count, -(-(i + 1) * height // count))
            columns = slice(j * width // count, -(-(j + 1) * width // count))
            pooled[:, :, i, j] = features[:, :, rows, columns].mean(dim=(2, 3))
    return pooled


def test_each_level_sees_the_means_of_its_regions_beside_the_features_themselves() -> None:
    network = tiny()
    *_, last, concatenated, _ = network.features(torch.rand(1, 3, 40, 72))
    assert last.shape == (1, 32, 5, 9) and concatenated.shape == (1, 32 + 2 * 5, 5, 9)
    assert concatenated[:, :32].equal(last)
    for index, (level, regions) in enumerate(zip(network.levels, (1, 2), strict=True)):
        expected = F.interpolate(level(means_of_regions(last, regions)), size=(5, 9), mode="bilinear")
        torch.testing.assert_close(concatenated[:, 32 + 5 * index : 37 + 5 * index], expected)


def test_without_a_pyramid_it_is_the_plain_decoder() -> None:
    network = tiny(pyramid=())
    layers = network.features(torch.rand(1, 3, 40, 72))
    assert len(layers) == 5
    torch.testing.assert_close(layers[-1], network.fusion(layers[-2]))


def test_the_third_stage_is_supervised_with_less_weight() -> None:
    network, image = tiny(), torch.rand(2, 3, 40, 72)
    (weight, logits), (less, auxiliary) = network.supervised(image)
    assert (weight, less) == (1.0, 0.4)
    torch.testing.assert_close(logits, network(image).logits)
    expected = F.interpolate(network.auxiliary(network.features(image)[2]), size=(40, 72), mode="bilinear")
    torch.testing.assert_close(auxiliary, expected)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_benchmarks_decoder_has_27_9_million_parameters() -> None:
    with torch.device("meta"):
        network = PSPNet(2, PSPNetConfig(classes=150))
    levels = 4 * (2048 * 512 + 2 * 512)
    fusion = 9 * (2048 + 4 * 512) * 512 + 2 * 512
    auxiliary = 9 * 1024 * 512 + 2 * 512
    classifiers = 2 * (512 * 150 + 150)
    assert parameters(network) - parameters(network.trunk) == levels + fusion + auxiliary + classifiers
    assert round((levels + fusion + auxiliary + classifiers) / 1e6, 1) == 27.9
