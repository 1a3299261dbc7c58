"""Built-in segmenters on every trunk that can be named."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from synthcp.nn.catalogue import TRUNKS, new_trunk
from synthcp.nn.trunk import DEEPEST, TrunkShape
from synthcp.segmentation.base import SegmenterShape
from synthcp.segmentation.catalogue import SEGMENTERS, check_trunk_of, new_segmenter

NAMES = [name for name in TRUNKS if name != "resnet101"]


@pytest.mark.parametrize("model", ["deeplab", "pspnet", "resnet"])
@pytest.mark.parametrize("name", NAMES)
def test_it_sees_an_image_as_its_trunk_does(model: str, name: str) -> None:
    torch.manual_seed(0)
    shape = SegmenterShape(2, 4, width=8, rates=(1, 2), hidden=8, trunk=name)
    segmenter = new_segmenter(model, shape).eval().requires_grad_(False)
    trunk = new_trunk(name, TrunkShape(2, output_stride=8)).eval().requires_grad_(False)
    segmenter.load_weights(trunk.state_dict())
    image = torch.rand(1, 3, 33, 47)
    layers = segmenter.features(image)
    assert len(layers) == SEGMENTERS[model].layers
    torch.testing.assert_close(layers[:3], trunk(image)[-DEEPEST:-1])


def test_a_single_channel_is_normalised_by_the_mean_of_the_colours() -> None:
    segmenter = new_segmenter("deeplab", SegmenterShape(2, 4, channels=1, rates=(1,), trunk="squeezenet1_0"))
    assert segmenter.mean.tolist() == [[[[pytest.approx((0.485 + 0.456 + 0.406) / 3)]]]]


@pytest.mark.parametrize(
    ("model", "trunk", "told"),
    [
        ("unet", "vgg16", "unet has no trunk to choose; leave vgg16 out, or fit one of deeplab, fcn8, pspnet, resnet"),
        ("fcn8", "timm:hrnet", "fcn8 is built on vgg16 or vgg19, not on timm:hrnet; name one of these, or fit deeplab"),
        ("deeplab", "vgg17", "trunk 'vgg17' is unknown; did you mean vgg1"),
    ],
)
def test_a_trunk_that_a_segmenter_cannot_have_is_refused(model: str, trunk: str, told: str, fails: Any) -> None:
    with fails(told):
        check_trunk_of(model, trunk)


@pytest.mark.parametrize(("model", "trunk"), [("fcn8", "vgg19"), ("deeplab", "timm:hrnet"), ("resnet", "vgg16")])
def test_one_that_it_can_have_is_not(model: str, trunk: str) -> None:
    check_trunk_of(model, trunk)
