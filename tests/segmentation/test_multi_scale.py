from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.segmentation.multi_scale import MultiScale


def linear(image: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(image, size=(height, width), mode="bilinear", antialias=True)


def test_softmax_and_features_are_the_means_over_the_scales() -> None:
    torch.manual_seed(0)
    segmenter = DeepLab(2, DeepLabConfig(3, width=4, rates=(1,))).eval()
    image = torch.rand(1, 3, 40, 56)
    small, large = segmenter(linear(image, 20, 28)), segmenter(image)
    enlarged = F.interpolate(small.logits, size=(40, 56), mode="bilinear")
    seen = MultiScale(segmenter, (1.0, 0.5))(image)
    expected = (large.logits.softmax(1) + enlarged.softmax(1)) / 2
    torch.testing.assert_close(seen.probabilities, expected, atol=1e-5, rtol=1e-4)
    for layer, first, second in zip(seen.layers, large.layers, small.layers, strict=True):
        torch.testing.assert_close(layer, (first + F.interpolate(second, size=first.shape[2:], mode="bilinear")) / 2)


def test_one_scale_is_the_segmenter_itself() -> None:
    torch.manual_seed(0)
    segmenter = DeepLab(2, DeepLabConfig(3, width=4, rates=(1,))).eval()
    image = torch.rand(2, 3, 33, 47)
    once, seen = segmenter(image), MultiScale(segmenter, (1.0,))(image)
    torch.testing.assert_close(seen.probabilities, once.probabilities, atol=1e-5, rtol=1e-4)
    assert all(layer.equal(other) for layer, other in zip(seen.layers, once.layers, strict=True))
