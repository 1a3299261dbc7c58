from __future__ import annotations

import torch
import torch.nn.functional as F

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


def test_every_channel_is_normalised_by_its_own_numbers() -> None:
    config = DeepLabConfig(classes=2, width=4, mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    image = torch.tensor([0.6, 0.6, 0.6]).view(1, 3, 1, 1)
    torch.testing.assert_close(DeepLab(2, config).normalize(image).flatten(), torch.tensor([1.0, 0.4, 0.15]))


def test_dropout_is_of_whole_channels_and_off_in_eval() -> None:
    torch.manual_seed(0)
    segmenter = DeepLab(2, DeepLabConfig(classes=2, width=4, dropout=0.5))
    dropped = segmenter.dropout(torch.ones(1, 64, 5, 5))
    assert all(len(channel.unique()) == 1 for channel in dropped[0]) and 0 < (dropped == 0).float().mean() < 1
    features = torch.randn(1, 32, 5, 5)
    assert segmenter.eval().classify(features).equal(segmenter.classify(features))
