from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.nn.catalogue import new_trunk
from synthcp.nn.trunk import TrunkShape
from synthcp.segmentation.base import SegmenterShape
from synthcp.segmentation.fcn8 import FCN8, FCN8Config, enlarged, fcn8

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # of torchvision's VGG-16
POOLED_BEFORE = {5, 10, 17, 24}
WIDTHS = (4, 4, 8, 8, 16, 16, 16, 32, 32, 32, 32, 32, 32)
HIDDEN, CLASSES = 6, 3


def torchvisions_weights() -> dict[str, Tensor]:
    """A state dict like torchvision's of VGG-16, with channels and linear layers of a sixteenth or less."""
    shapes, channels = {}, 3
    for index, width in zip(CONVOLUTIONS, WIDTHS, strict=True):
        shapes[f"features.{index}"], channels = (width, channels, 3, 3), width
    shapes |= {"classifier.0": (HIDDEN, 32 * 49), "classifier.3": (HIDDEN, HIDDEN), "classifier.6": (10, HIDDEN)}
    weights = {}
    for name, shape in shapes.items():
        weights[f"{name}.weight"] = torch.randn(shape) * (2 / torch.tensor(shape[1:]).prod()) ** 0.5
        weights[f"{name}.bias"] = torch.rand(shape[0]) / 10
    return weights


def pools(weights: Mapping[str, Tensor], image: Tensor, padding: int) -> list[Tensor]:
    """pool1 to pool5 of VGG-16 from its definition, conv1_1 padded by a number of zeros."""
    x, pooled = image, []
    for index in CONVOLUTIONS:
        if index in POOLED_BEFORE:
            x = F.max_pool2d(x, 2, ceil_mode=True)
            pooled.append(x)
        kernel, bias = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
        x = F.conv2d(x, kernel, bias, padding=1 if index else padding).relu()
    return [*pooled, F.max_pool2d(x, 2, ceil_mode=True)]


def fc7(weights: Mapping[str, Tensor], pool5: Tensor, padding: int) -> Tensor:
    kernel = weights["classifier.0.weight"].view(HIDDEN, 32, 7, 7)
    x = F.conv2d(pool5, kernel, weights["classifier.0.bias"], padding=padding).relu()
    return F.conv2d(x, weights["classifier.3.weight"][:, :, None, None], weights["classifier.3.bias"]).relu()


def transposed(x: Tensor, factor: int) -> Tensor:
    """A transposed convolution of each channel by itself, with the kernel of Long et al.'s release."""
    ramp = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
    kernel = torch.outer(ramp, ramp).expand(x.shape[1], 1, -1, -1)
    return F.conv_transpose2d(x, kernel, stride=factor, groups=x.shape[1])


def network(**settings: object) -> FCN8:
    torch.manual_seed(0)
    segmenter = FCN8(2, FCN8Config(CLASSES, width=4, hidden=HIDDEN, **settings)).eval().requires_grad_(False)
    for score in (segmenter.score, segmenter.score_pool4, segmenter.score_pool3):
        score.weight.normal_()
        score.bias.normal_()
    return segmenter


def scores(segmenter: FCN8, *maps: Tensor) -> list[Tensor]:
    layers = (segmenter.score_pool3, segmenter.score_pool4, segmenter.score)
    return [F.conv2d(x, layer.weight, layer.bias) for x, layer in zip(maps, layers, strict=True)]


@pytest.mark.parametrize("size", [(40, 56), (33, 71), (1, 27)])
def test_torchvisions_weights_give_the_network_of_the_paper(size: tuple[int, int]) -> None:
    segmenter, weights, image = network(), torchvisions_weights(), torch.randn(2, 3, *size)
    segmenter.load_weights(weights)
    _, _, pool3, pool4, pool5 = pools(weights, image, padding=100)
    fine, middle, coarse = scores(segmenter, 0.0001 * pool3, 0.01 * pool4, fc7(weights, pool5, padding=0))
    x = transposed(coarse, 2)
    x = transposed(x + middle[:, :, 5 : 5 + x.shape[2], 5 : 5 + x.shape[3]], 2)
    x = transposed(x + fine[:, :, 9 : 9 + x.shape[2], 9 : 9 + x.shape[3]], 8)
    expected = x[:, :, 31 : 31 + size[0], 31 : 31 + size[1]]
    torch.testing.assert_close(segmenter.forward_with_features(image)[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [(64, 96), (33, 71)])
def test_without_a_margin_the_scores_are_resized_and_added_in_full(size: tuple[int, int]) -> None:
    segmenter, weights, image = network(margin=0, scaled=False), torchvisions_weights(), torch.randn(2, 3, *size)
    segmenter.load_weights(weights)
    _, pool2, pool3, pool4, pool5 = pools(weights, image, padding=1)
    features = fc7(weights, pool5, padding=3)
    fine, middle, coarse = scores(segmenter, pool3, pool4, features)
    x = F.interpolate(coarse, middle.shape[2:], mode="bilinear") + middle
    expected = F.interpolate(x, fine.shape[2:], mode="bilinear") + fine
    logits, layers = segmenter.forward_with_features(image)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    for layer, reference in zip(layers, (pool2, pool3, pool4, features), strict=True):
        torch.testing.assert_close(layer, reference, atol=1e-5, rtol=1e-4)


def test_the_maps_of_an_image_with_a_margin_are_what_lies_over_it() -> None:
    """Each begins three pixels before the image, for 99 + 1 zeros are no multiple of a stride, and ends behind it."""
    segmenter, weights, image = network(), torchvisions_weights(), torch.randn(1, 3, 70, 129)
    segmenter.load_weights(weights)
    *maps, pool5 = pools(weights, image, padding=100)[1:]
    maps.append(F.pad(fc7(weights, pool5, padding=0), [3, 0, 3, 0]))  # its first pixel looks at the fourth of pool5
    layers = segmenter.forward_with_features(image)[1]
    for layer, whole, stride, rows, columns in zip(
        layers, maps, (4, 8, 16, 32), (18, 9, 5, 3), (33, 17, 9, 5), strict=True
    ):
        first = (99 - 3) // stride
        expected = whole[:, :, first : first + rows, first : first + columns]
        torch.testing.assert_close(layer, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("factor", [2, 8])
def test_enlarging_is_a_transposed_convolution(factor: int) -> None:
    score = torch.randn(2, 3, 4, 7)
    torch.testing.assert_close(enlarged(score, factor), transposed(score, factor), atol=1e-5, rtol=1e-5)


def test_the_papers_segmenter_has_134_million_parameters() -> None:
    with torch.device("meta"):
        segmenter = FCN8(2, FCN8Config(classes=19))
    vgg, fully_connected, scores = 14_714_688, (49 * 512 + 1 + 4097) * 4096, 19 * (4097 + 513 + 257)
    assert sum(parameter.numel() for parameter in segmenter.parameters()) == vgg + fully_connected + scores


def test_at_first_fc7_alone_decides() -> None:
    segmenter = FCN8(2, FCN8Config(CLASSES, width=4, hidden=HIDDEN, margin=0)).eval()
    maps = [torch.randn(1, channels, side, side + 1) for channels, side in ((16, 8), (32, 4), (HIDDEN, 2))]
    expected = F.interpolate(F.interpolate(segmenter.score(maps[-1]), (4, 5), mode="bilinear"), (8, 9), mode="bilinear")
    torch.testing.assert_close(segmenter.classify(*maps), expected)


def test_batch_norms_take_torchvisions_names() -> None:
    with torch.device("meta"):
        segmenter = FCN8(2, FCN8Config(CLASSES, normalized=True))
    names = set(segmenter.vgg.state_dict())
    assert {"features.0.weight", "features.1.running_mean", "features.40.bias", "features.41.running_var"} <= names
    assert len(names) == 13 * (2 + 5)


@pytest.mark.parametrize("trunk", ["vgg16", "vgg19"])
def test_a_named_vgg_is_as_wide_as_published_and_needs_no_classifier_where_it_is_small(trunk: str) -> None:
    torch.manual_seed(0)
    segmenter = fcn8(SegmenterShape(2, CLASSES, width=8, trunk=trunk)).eval().requires_grad_(False)
    published, image = new_trunk(trunk, TrunkShape(2)).eval().requires_grad_(False), torch.rand(1, 3, 33, 64)
    segmenter.load_weights({**published.state_dict(), "classifier.0.bias": torch.zeros(4096)})
    torch.testing.assert_close(segmenter.features(image)[:3], published(image)[1:4])
    assert segmenter.config.hidden == 32 and not segmenter.config.normalized


def test_the_papers_own_brings_its_classifier_from_the_weights_of_a_named_vgg(fails) -> None:
    with torch.device("meta"):
        segmenter = fcn8(SegmenterShape(2, CLASSES, depth=101, trunk="vgg16"))
        vgg = new_trunk("vgg16", TrunkShape(2))
    assert segmenter.config == FCN8Config(CLASSES, trunk="vgg16")
    with fails("weights do not fit FCN-8: classifier.0.weight is missing"):
        segmenter.load_weights(vgg.state_dict())


@pytest.mark.parametrize("key", ["features.17.weight", "classifier.0.weight", "classifier.3.bias"])
@pytest.mark.parametrize("spoil", ["missing", "shape"])
def test_other_weights_are_refused_in_one_line_and_change_nothing(key: str, spoil: str, fails) -> None:
    segmenter, weights = network(), torchvisions_weights()
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    weights.pop(key)
    if spoil == "shape":
        weights[key] = torch.zeros(5, 2)
    with fails("do not fit", key, {"missing": "missing", "shape": "of another shape"}[spoil], "torchvision's"):
        segmenter.load_weights(weights)
    assert all(value.equal(before[name]) for name, value in segmenter.state_dict().items())
