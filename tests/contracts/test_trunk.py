"""What every trunk of the catalogue promises, in 2D and 3D. A new one needs a line in PUBLISHED."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from synthcp.errors import InputError, WeightsError
from synthcp.nn.catalogue import TRUNKS, check_trunk, new_trunk
from synthcp.nn.spatial import SpatialDims
from synthcp.nn.trunk import OutputStride, Trunk, TrunkShape

PUBLISHED = {
    "resnet18": ("layer4.1.conv2.weight", "fc.bias"),
    "resnet34": ("layer4.2.conv2.weight", "fc.bias"),
    "resnet50": ("layer4.2.conv3.weight", "fc.bias"),
    "resnet101": ("layer4.2.conv3.weight", "fc.bias"),
    "vgg16": ("features.28.weight", "classifier.6.bias"),
    "vgg19": ("features.34.weight", "classifier.6.bias"),
    "efficientnet_lite0": ("_blocks.15._project_conv.weight", "_conv_head.weight"),
    "squeezenet1_0": ("features.12.expand3x3.weight", "classifier.1.bias"),
}
"""Of the published weights of each trunk a key of its last convolution, and one of the classifier behind it."""
SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (33, 70), 3: (9, 33, 22)}


@pytest.fixture(params=TRUNKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[2, 3])
def dims(request: pytest.FixtureRequest) -> SpatialDims:
    return 3 if request.param == 3 else 2


def fresh(name: str, dims: SpatialDims, seed: int = 0, output_stride: OutputStride = 32, beside: int = 0) -> Trunk:
    torch.manual_seed(seed)
    shape = TrunkShape(dims, in_channels=2, beside=beside, width=4, output_stride=output_stride)
    return new_trunk(name, shape).eval().requires_grad_(False)


def image(dims: SpatialDims) -> Tensor:
    return torch.rand(2, 2, *SIZES[dims], generator=torch.Generator().manual_seed(1))


def test_every_trunk_is_here() -> None:
    assert PUBLISHED.keys() == TRUNKS.keys()


def test_maps_have_the_channels_and_the_rising_strides_that_it_tells(name: str, dims: SpatialDims) -> None:
    trunk = fresh(name, dims)
    maps = trunk(image(dims))
    assert tuple(features.shape[1] for features in maps) == trunk.out_channels
    expected = [tuple(-(-side // stride) for side in SIZES[dims]) for stride in trunk.strides]
    assert [tuple(features.shape[2:]) for features in maps] == expected
    assert list(trunk.strides) == sorted(trunk.strides) and trunk.strides[-1] > trunk.strides[0]


def test_each_image_is_seen_alone(name: str, dims: SpatialDims) -> None:
    trunk, pair = fresh(name, dims), image(dims)
    for both, second in zip(trunk(pair), trunk(pair[1:]), strict=True):
        torch.testing.assert_close(both[1:], second, atol=1e-5, rtol=1e-4)


def test_published_weights_load_without_their_classifier(name: str, dims: SpatialDims) -> None:
    trunk, other = fresh(name, dims), fresh(name, dims, seed=1)
    last, behind = PUBLISHED[name]
    assert last in trunk.state_dict() and behind not in trunk.state_dict()
    assert not other(image(dims))[-1].equal(trunk(image(dims))[-1])
    weights = {key: value for key, value in trunk.state_dict().items() if "num_batches" not in key}
    other.load_weights({**weights, behind: torch.zeros(1000)})
    assert all(ours.equal(theirs) for ours, theirs in zip(other(image(dims)), trunk(image(dims)), strict=True))


@pytest.mark.parametrize("output_stride", [4, 8])
def test_below_its_own_output_stride_it_dilates(name: str, dims: SpatialDims, output_stride: OutputStride) -> None:
    trunk, dense = fresh(name, dims), fresh(name, dims, output_stride=output_stride)
    assert dense.strides == tuple(min(stride, output_stride) for stride in trunk.strides)
    maps = dense(image(dims))
    expected = [tuple(-(-side // stride) for side in SIZES[dims]) for stride in dense.strides]
    assert [tuple(features.shape[2:]) for features in maps] == expected
    dense.load_weights(trunk.state_dict())


def test_an_image_is_normalised_and_what_is_beside_it_is_not(name: str, dims: SpatialDims) -> None:
    trunk, pair = fresh(name, dims, beside=3), image(dims)
    mean, std = (torch.tensor(values).view(1, -1, *[1] * dims) for values in trunk.normalization)
    beside = torch.rand(2, 3, *SIZES[dims], generator=torch.Generator().manual_seed(2))
    seen = trunk.stages(torch.cat([(pair - mean) / std, beside], dim=1))
    assert all(ours.equal(theirs) for ours, theirs in zip(trunk(pair, beside), seen, strict=True))


def test_further_channels_start_unseen(name: str, dims: SpatialDims) -> None:
    trunk, wide = fresh(name, dims), fresh(name, dims, seed=1, beside=3)
    if not trunk.first_kernel:  # it cannot widen what it does not name, and says so
        with pytest.raises(WeightsError, match="of another shape"):
            wide.load_weights(trunk.state_dict())
        return
    wide.load_weights(trunk.state_dict())
    beside = torch.rand(2, 3, *SIZES[dims])
    for ours, theirs in zip(wide(image(dims), beside), trunk(image(dims)), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("problem", ["missing", "unknown", "of another shape"])
def test_other_weights_are_refused_in_one_line_and_change_nothing(name: str, dims: SpatialDims, problem: str) -> None:
    trunk, weights, (last, _) = fresh(name, dims), fresh(name, dims, seed=1).state_dict(), PUBLISHED[name]
    before = {key: value.clone() for key, value in trunk.state_dict().items()}
    kernel = weights.pop(last)
    if problem != "missing":
        weights |= {last: kernel, "body.0": kernel} if problem == "unknown" else {last: kernel[:-1]}
    key = "body.0" if problem == "unknown" else last
    with pytest.raises(WeightsError, match=f"do not fit {trunk.title}: {problem} \\['{key}'\\]; use") as caught:
        trunk.load_weights(weights)
    assert "\n" not in str(caught.value)
    assert all(value.equal(before[key]) for key, value in trunk.state_dict().items())


@pytest.mark.parametrize("name", ["resnet19", "timm:", "timm", "hf:x"])
def test_an_unknown_trunk_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(InputError, match=f"trunk '{name}' is unknown; .*resnet18, .*timm:NAME") as caught:
        check_trunk(name)
    assert "\n" not in str(caught.value)
