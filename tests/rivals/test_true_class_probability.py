from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.nn.spatial import SpatialDims
from synthcp.records import Prediction
from synthcp.rivals.true_class_probability import (
    ConfidenceConfig,
    ConfidenceHead,
    ConfidenceNetwork,
    TrueClassProbability,
)
from synthcp.segmentation.base import Segmenter, at_size
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.segmentation.input_size import InputSize
from synthcp.segmentation.pspnet import PSPNet, PSPNetConfig

SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (32, 41), 3: (9, 12, 17)}
SMALL = ConfidenceConfig(fused=3, widths=(5, 4))


def deeplab(dims: SpatialDims, input_size: InputSize | None = None) -> Segmenter:
    torch.manual_seed(0)
    return DeepLab(dims, DeepLabConfig(4, width=4, rates=(1, 2), dropout=0.5), input_size)


def pspnet(dims: SpatialDims) -> Segmenter:
    return PSPNet(dims, PSPNetConfig(4, depth=18, width=4, pyramid=(1,), hidden=5))


def image_of(dims: SpatialDims, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, *SIZES[dims], generator=torch.Generator().manual_seed(1))


def block_by_hand(block: nn.Module, features: Tensor) -> Tensor:
    assert isinstance(block, nn.Sequential)
    convolution, norm, _ = block
    convolve = F.conv2d if features.ndim == 4 else F.conv3d
    features = convolve(features, convolution.weight, padding=convolution.weight.shape[-1] // 2)
    return F.batch_norm(features, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu()


def resized(features: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(features, tuple(size), mode="bilinear" if features.ndim == 4 else "trilinear")


@pytest.mark.parametrize("dims", [2, 3])
def test_the_head_by_hand(dims: SpatialDims) -> None:
    torch.manual_seed(0)
    largest, size = (6, 9, 7)[:dims], SIZES[dims]
    layers = [torch.rand(2, 3, *(3, 5, 4)[:dims]), torch.rand(2, 2, *largest), torch.rand(2, 4, *(2, 2, 3)[:dims])]
    head = ConfidenceHead(dims, (3, 2, 4), SMALL)
    for _ in range(3):
        head([3 * layer + 1 for layer in layers], size)  # the norms see statistics of their own
    confidence = head.eval()(layers, size)
    parts = [resized(block_by_hand(*pair), largest) for pair in zip(head.fusions, layers, strict=True)]
    features = block_by_hand(head.convolutions[0], torch.cat(parts, dim=1))
    features = block_by_hand(head.verdict[0], resized(features, size))
    last = head.verdict[1]
    log_odds = (F.conv2d if dims == 2 else F.conv3d)(features, last.weight, last.bias, padding=1)
    torch.testing.assert_close(confidence, log_odds[:, 0].sigmoid())
    assert confidence.std() > 1e-4


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("make", "layers"), [(deeplab, 4), (pspnet, 6)])
def test_any_segmenter_will_do(make: type[Segmenter], layers: int, dims: SpatialDims) -> None:
    segmenter, image = make(dims), image_of(dims)
    network = ConfidenceNetwork(segmenter, image[:1], SMALL).eval()
    assert len(network.head.fusions) == layers
    expected = network.head(segmenter.eval()(image).layers, SIZES[dims])
    torch.testing.assert_close(network(image), expected)
    assert network(image).shape == (2, *SIZES[dims])


@pytest.mark.parametrize("dims", [2, 3])
def test_the_encoder_is_a_copy_at_rest(dims: SpatialDims) -> None:
    segmenter, image = deeplab(dims).requires_grad_(False), image_of(dims)
    network = ConfidenceNetwork(segmenter, image, SMALL).train()
    assert segmenter.training and network.head.training  # as they were
    assert not any(module.training for module in network.encoder.modules())
    before = {key: value.clone() for key, value in segmenter.state_dict().items()}
    network(image).sum().backward()
    gradients = [parameter.grad for parameter in network.encoder.trunk.parameters()]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    for parameter in network.encoder.parameters():
        parameter.data += 1
    assert all(value.equal(before[key]) for key, value in segmenter.state_dict().items())
    statistics = {key: value for key, value in network.encoder.state_dict().items() if "running" in key}
    assert statistics and all(value.equal(before[key]) for key, value in statistics.items())


@pytest.mark.parametrize("dims", [2, 3])
@torch.no_grad()
def test_the_error_map_is_one_minus_the_confidence_at_the_size_that_M_saw(dims: SpatialDims) -> None:
    image, seen = image_of(dims), (16, 18, 20)[:dims]
    network = ConfidenceNetwork(deeplab(dims, InputSize("resize", seen)), image, SMALL).eval()
    prediction = at_size(Prediction(torch.zeros(2, 4, *seen)), SIZES[dims])
    judged = TrueClassProbability(network)(image, prediction)
    shown = F.interpolate(image, seen, mode="bilinear", antialias=True) if dims == 2 else resized(image, seen)
    confidence = resized(network.head(network.encoder(shown).layers, seen)[:, None], SIZES[dims])[:, 0]
    assert judged.error_map is not None and judged.anomaly_map is None and judged.class_quality is None
    torch.testing.assert_close(judged.error_map, 1 - confidence)
    assert judged.error_map.min() >= 0 and judged.error_map.max() <= 1 and confidence.std() > 1e-4


class Blind(Segmenter):
    """Shows no feature maps."""

    def look(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return image, []


def test_a_segmenter_without_feature_maps_is_refused(fails: Callable[..., AbstractContextManager[None]]) -> None:
    with fails("Blind shows no feature maps", "choose another detector"):
        ConfidenceNetwork(Blind(2, (0.0,), (1.0,)), image_of(2), SMALL)


def test_a_head_without_convolutions_is_refused(fails: Callable[..., AbstractContextManager[None]]) -> None:
    with fails("no widths", "give one at least"):
        ConfidenceConfig(widths=())
