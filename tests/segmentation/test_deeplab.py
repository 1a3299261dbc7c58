from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig


def test_the_classifiers_are_summed_each_at_its_rate() -> None:
    torch.manual_seed(0)
    segmenter = DeepLab(2, DeepLabConfig(classes=3, width=4, rates=(1, 3))).eval()
    features = torch.randn(2, 32, 6, 7)
    first, second = (segmenter.get_parameter(f"pyramid.{index}.weight") for index in (0, 1))
    expected = F.conv2d(features, first, padding=1) + F.conv2d(features, second, padding=3, dilation=3)
    torch.testing.assert_close(segmenter.classify(features), expected)


def test_the_papers_segmenter_is_a_resnet_101_and_four_classifiers() -> None:
    with torch.device("meta"):
        segmenter = DeepLab(2, DeepLabConfig(classes=19, depth=101))
    classifiers = 4 * (9 * 2048 * 19 + 19)
    assert sum(parameter.numel() for parameter in segmenter.parameters()) == 42_500_160 + classifiers


def unit(x: Tensor, layers: nn.Module, dilation: int = 1) -> Tensor:
    """Convolution, batch norm and ReLU from their definitions."""
    kernel, (scale, shift, mean, variance) = layers[0].weight, list(layers[1].state_dict().values())[:4]
    x = F.conv2d(x, kernel, padding=dilation * (kernel.shape[-1] // 2), dilation=dilation)
    mean, variance, scale, shift = (part.view(-1, 1, 1) for part in (mean, variance, scale, shift))
    return ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).relu()


def test_the_releases_head_fuses_a_pyramid_and_the_mean_of_the_image() -> None:
    torch.manual_seed(0)
    config = DeepLabConfig(classes=3, width=4, rates=(2, 3), dropout=0.5, head="v3", hidden=5)
    segmenter = DeepLab(2, config).eval().requires_grad_(False)
    for norm in segmenter.fusion.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(std=0.3)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_()
    image = torch.rand(2, 3, 48, 72)
    stages, pyramid = segmenter.trunk.stages(image), segmenter.fusion
    parts = [unit(stages[-1], layers, rate) for layers, rate in zip(pyramid.local, (1, 2, 3), strict=True)]
    parts.append(unit(stages[-1].mean(dim=(2, 3), keepdim=True), pyramid.whole).expand(-1, -1, 6, 9))
    features = unit(torch.cat(parts, dim=1), pyramid.fused)
    logits, layers = segmenter.forward_with_features(image)
    for layer, reference in zip(layers, [*stages[:3], features], strict=True):
        torch.testing.assert_close(layer, reference, atol=1e-5, rtol=1e-4)
    classifier = segmenter.pyramid[0]
    expected = F.conv2d(features, classifier.weight, classifier.bias)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


def test_the_releases_segmenter_has_58_million_parameters() -> None:
    with torch.device("meta"):
        segmenter = DeepLab(2, DeepLabConfig(classes=19, depth=101, rates=(6, 12, 18), head="v3"))
    norm, classifier = 2 * 256, 256 * 19 + 19
    pyramid = 2 * (2048 * 256 + norm) + 3 * (9 * 2048 * 256 + norm) + 5 * 256 * 256 + norm
    assert sum(parameter.numel() for parameter in segmenter.parameters()) == 42_500_160 + pyramid + classifier


def test_dropout_is_of_whole_channels_and_off_in_eval() -> None:
    torch.manual_seed(0)
    segmenter = DeepLab(2, DeepLabConfig(classes=2, width=4, dropout=0.5))
    dropped = segmenter.dropout(torch.ones(1, 64, 5, 5))
    assert all(len(channel.unique()) == 1 for channel in dropped[0]) and 0 < (dropped == 0).float().mean() < 1
    features = torch.randn(1, 32, 5, 5)
    assert segmenter.eval().classify(features).equal(segmenter.classify(features))
