"""What every segmenter promises, in 2D and 3D: those of the catalogue, further forms of them, and brought ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from synthcp.errors import MissingExtraError
from synthcp.nn.spatial import SpatialDims, conv, resize
from synthcp.segmentation.adapters import AdaptedSegmenter
from synthcp.segmentation.ahnet import AHNet, AHNetConfig
from synthcp.segmentation.base import Segmenter, SegmenterShape
from synthcp.segmentation.catalogue import SEGMENTERS, new_segmenter
from synthcp.segmentation.class_mapping import ClassMapping
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.segmentation.fcn8 import FCN8
from synthcp.segmentation.input_size import InputSize
from synthcp.segmentation.pspnet import PSPNet, PSPNetConfig
from synthcp.segmentation.unet import UNet

CLASSES = 5
SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (33, 47), 3: (9, 17, 22)}
EVEN: dict[SpatialDims, tuple[int, ...]] = {2: (32, 64), 3: (32, 64, 32)}
"""What U-Net and AH-Net need not pad: f_M that was cut ends at another border than f_M that was classified."""
DOCS = Path(__file__).parents[2] / "docs" / "own-model.md"


def adapted(dims: SpatialDims, mapping: ClassMapping | None = None) -> AdaptedSegmenter:
    """A plain network that somebody brought: half the size of the image, and one class more when they are mapped."""
    first, last = conv(dims, 3, 6, stride=2), conv(dims, 6, CLASSES + (mapping is not None), kernel=1)
    segmenter = AdaptedSegmenter(nn.Sequential(first, nn.ReLU(), last), dims, (0.4, 0.5, 0.6), (0.2,))
    segmenter.mapping, segmenter.has_feature_module, segmenter.feature_name = mapping, True, "2"
    return segmenter


MAPPING = ClassMapping(CLASSES + 1, ((3,), (0, 5), (1,), (2,), (4,)))
FURTHER: dict[str, Callable[[SpatialDims], Segmenter]] = {
    "adapted": adapted,
    "adapted, classes mapped": lambda dims: adapted(dims, MAPPING),
    "deeplab-v3's head": lambda dims: DeepLab(dims, DeepLabConfig(CLASSES, width=4, rates=(2,), head="v3", hidden=6)),
    "deeplab-50": lambda dims: DeepLab(dims, DeepLabConfig(CLASSES, depth=50, width=4, output_stride=16, rates=(1,))),
    "resnet-50": lambda dims: PSPNet(dims, PSPNetConfig(CLASSES, depth=50, width=4, pyramid=(), hidden=6)),
    "deeplab on efficientnet_lite0": lambda dims: DeepLab(dims, DeepLabConfig(CLASSES, trunk="efficientnet_lite0")),
    "pspnet on squeezenet1_0": lambda dims: PSPNet(dims, PSPNetConfig(CLASSES, hidden=6, trunk="squeezenet1_0")),
    "ahnet, linear": lambda dims: AHNet(dims, AHNetConfig(CLASSES, 3, (1, 1, 1, 1), 1, "linear")),
}


def lively(segmenter: Segmenter) -> Segmenter:
    """Let skips that start at zero count, and halve AH-Net, whose features grow until batch norms have seen data."""
    for parameter in segmenter.requires_grad_(False).parameters():
        if isinstance(segmenter, AHNet):
            parameter *= 0.5
        elif parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter)
    return segmenter.eval()


@pytest.fixture(params=[2, 3])
def dims(request: pytest.FixtureRequest) -> SpatialDims:
    return 3 if request.param == 3 else 2


@pytest.fixture(params=[*SEGMENTERS, *FURTHER])
def segmenter(request: pytest.FixtureRequest, dims: SpatialDims) -> Segmenter:
    torch.manual_seed(0)
    return lively(FURTHER[request.param](dims) if request.param in FURTHER else of_catalogue(request.param, dims))


@pytest.fixture
def image(segmenter: Segmenter, dims: SpatialDims) -> Tensor:
    size = EVEN[dims] if isinstance(segmenter, UNet | AHNet) else SIZES[dims]
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))


def of_catalogue(name: str, dims: SpatialDims) -> Segmenter:
    torch.manual_seed(0)
    size = InputSize("tile", EVEN[dims])
    return new_segmenter(name, SegmenterShape(dims, CLASSES, width=4, rates=(1, 2), hidden=6, input_size=size))


@pytest.mark.parametrize("name", ["unet", "ahnet"])
def test_a_network_of_monai_gives_its_logits_and_learns_from_one_tiny_volume(
    name: str, dims: SpatialDims, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = of_catalogue(name, dims).eval()
    image = torch.rand(2, 3, *EVEN[dims])
    torch.testing.assert_close(segmenter(image).logits, segmenter.get_submodule("network")((image - 0.45) / 0.225))
    ((_, logits),) = segmenter.train().supervised(torch.rand(1, 3, *[8] * dims))
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in segmenter.parameters())
    monkeypatch.setitem(sys.modules, "monai", None)
    with pytest.raises(MissingExtraError, match=r"synthcp\[medical\]"):
        of_catalogue(name, dims)


def test_every_segmenter_of_the_catalogue_is_in_the_docs() -> None:
    text = DOCS.read_text()
    assert [name for name in SEGMENTERS if f"| `{name}` |" not in text] == []


def test_the_prediction_has_the_size_of_the_image(segmenter: Segmenter, image: Tensor) -> None:
    prediction = segmenter(image)
    assert prediction.logits.shape == (2, CLASSES, *image.shape[2:])
    assert prediction.label_map.dtype == torch.int64
    assert prediction.label_map.min() >= 0 and prediction.label_map.max() < CLASSES
    assert prediction.confidence.min() >= 1 / CLASSES - 1e-6 and prediction.confidence.max() <= 1


def classify(segmenter: Segmenter, layers: Sequence[Tensor]) -> Tensor:
    """What the last layer says of features, of FCN-8 of the last three maps."""
    if isinstance(segmenter, FCN8):
        return segmenter.classify(*layers[-3:])
    features = layers[-1]
    if not isinstance(segmenter, AdaptedSegmenter):
        return segmenter.classify(features)
    raw = segmenter.feature_module(features)
    return raw if segmenter.mapping is None else segmenter.mapping.logits(raw)


def test_the_features_are_what_the_last_layer_judges(segmenter: Segmenter, image: Tensor) -> None:
    prediction = segmenter(image)
    assert prediction.features is not None and prediction.features is prediction.layers[-1]
    logits = resize(classify(segmenter, prediction.layers), image.shape[2:])
    torch.testing.assert_close(prediction.logits, logits)
    for layer, feature in zip(prediction.layers, segmenter.features(image), strict=True):
        torch.testing.assert_close(layer, feature)


def test_eval_is_deterministic_and_judges_each_image_alone(segmenter: Segmenter, image: Tensor) -> None:
    logits = segmenter(image).logits
    assert segmenter(image).logits.equal(logits)
    alone = torch.cat([segmenter(image[:1]).logits, segmenter(image[1:]).logits])
    torch.testing.assert_close(logits, alone, atol=1e-5, rtol=1e-4)


def test_gradients_reach_the_image(segmenter: Segmenter, image: Tensor) -> None:
    image.requires_grad_()
    segmenter.features(image)[-1].sum().backward()  # as a perceptual network needs it
    assert image.grad is not None and image.grad.abs().sum() > 0
