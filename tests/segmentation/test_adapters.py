"""What a network may return, what it is shown, and what is said when it does not fit."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from synthcp.errors import DataError, ShapeError, WeightsError
from synthcp.nn.spatial import resize
from synthcp.records import Classes
from synthcp.segmentation.adapters import adapt, logits_in
from synthcp.segmentation.base import in_numbers
from synthcp.segmentation.input_size import InputSize
from synthcp.segmentation.loaded import LoadedNetwork

LOGITS = torch.arange(12.0).view(1, 3, 2, 2)


@pytest.fixture
def two() -> Classes:
    return Classes(("background", "polyp"), ((0, 0, 0), (255, 0, 0)))


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        SimpleNamespace(logits=LOGITS, hidden=LOGITS + 1),
        {"aux": LOGITS + 1, "out": LOGITS},
        {"out": LOGITS + 1, "logits": LOGITS},
        (LOGITS, LOGITS + 1),
        [LOGITS, None],
        ({"out": LOGITS}, 0.3),
        namedtuple("Heads", "main aux")(LOGITS, LOGITS + 1),
    ],
)
def test_logits_are_found_in_what_models_return(output):
    assert logits_in(output) is LOGITS


@pytest.mark.parametrize("output", [None, {"masks": LOGITS}, (), SimpleNamespace(), "logits"])
def test_no_logits(output, fails):
    with fails(f"returns {type(output).__name__}", "no logits", "'out'"):
        logits_in(output)


@pytest.mark.parametrize("error", [SystemExit("no"), RuntimeError("no"), MemoryError("no")])
@pytest.mark.parametrize("when", ["tried", "used"])
def test_whatever_a_model_raises_is_its_failure(classes, probe, fails, error, when):
    raised = [error] if when == "tried" else []

    def network(image):
        if raised:
            raise raised[0]
        return image.mean(dim=1, keepdim=True) * torch.arange(5.0).view(1, 5, 1, 1)

    with fails(f"the model failed on an image of 3x64x96 ({type(error).__name__}: no)", "?input=", error=DataError):
        segmenter = adapt(LoadedNetwork(network), classes, probe)
        raised.append(error)
        segmenter.predict("", probe)


def test_logits_come_at_the_size_of_the_image_and_features_at_their_own(network, classes, probe):
    prediction = adapt(LoadedNetwork(network), classes, probe).predict("", probe)
    raw = network(probe)
    assert raw.shape[2:] == (32, 48)
    torch.testing.assert_close(prediction.logits, resize(raw, (64, 96)))
    torch.testing.assert_close(prediction.features, network[:2](probe))


def test_the_network_sees_normalised_images_at_its_size(network, classes, probe):
    how = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "input_size": InputSize("resize", (32, 64))}
    segmenter = adapt(LoadedNetwork(network, **how), classes, probe)
    shown = resize(probe, (32, 64), antialias=True)
    channels = [(shown[:, c : c + 1] - m) / s for c, (m, s) in enumerate([(0.1, 0.5), (0.2, 0.6), (0.3, 0.7)])]
    raw = network(torch.cat(channels, dim=1))
    torch.testing.assert_close(segmenter.predict("", probe).logits, resize(raw, (32, 64)))
    torch.testing.assert_close(segmenter.features(probe)[0], segmenter.predict("", probe).features)


def test_a_network_that_wants_multiples_is_helped_by_padding(two_layers, classes, fails):
    def multiples(network: nn.Module, image: Tensor) -> Tensor:
        if image.shape[2] % 32 or image.shape[3] % 32:
            raise RuntimeError("Sizes of tensors must match\nexcept in dimension 1")
        return network.head(network.body(image))

    network, probe = two_layers(multiples), torch.rand(1, 3, 40, 64)
    with fails("failed on an image of 3x40x64 (RuntimeError: Sizes of tensors must match except", "pad:32"):
        adapt(LoadedNetwork(network), classes, probe)
    segmenter = adapt(LoadedNetwork(network, input_size=InputSize("pad", (32,))), classes, probe)
    assert segmenter.predict("", probe).logits.shape == (1, 5, 40, 64)
    assert segmenter.features(probe)[0].shape == (1, 4, 40, 64)  # as G's loss asks for them


def test_one_channel_tells_two_classes_apart(two, probe):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 1, 1))
    prediction = adapt(LoadedNetwork(network), two, probe).predict("", probe)
    torch.testing.assert_close(prediction.probabilities[:, 1:], network(probe).sigmoid())
    assert prediction.features.shape[1] == 4


def test_an_entry_called_features_is_taken(two_layers, classes, probe):
    def telling(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
        features = network.body(image)
        return {"logits": network.head(features), "features": features.relu(), "raw": features}

    network = two_layers(telling)
    features = adapt(LoadedNetwork(network), classes, probe).predict("", probe).features
    torch.testing.assert_close(features, network.body(probe).relu())
    features = adapt(LoadedNetwork(network, features="raw"), classes, probe).predict("", probe).features
    torch.testing.assert_close(features, network.body(probe))


def test_a_plain_function_gives_its_logits_as_features(classes, probe, fails):
    weights = torch.randn(5, 3, 1, 1)
    network = lambda image: nn.functional.conv2d(image, weights)  # noqa: E731
    segmenter = adapt(LoadedNetwork(network), classes, probe)
    assert (segmenter.feature_name, segmenter.fingerprint, segmenter.differentiable) == ("logits", "", True)
    torch.testing.assert_close(segmenter.predict("", probe).features, nn.functional.conv2d(probe, weights))
    with fails("no torch.nn.Module and has no module 'head'", "leave --features out"):
        adapt(LoadedNetwork(network, features="head"), classes, probe)


def test_gradients_pass_through_a_module_and_not_through_numpy(network, classes, probe):
    segmenter = adapt(LoadedNetwork(network), classes, probe)
    assert segmenter.differentiable and not any(weight.requires_grad for weight in segmenter.parameters())
    image = probe.clone().requires_grad_()
    segmenter.features(image)[0].sum().backward()
    assert image.grad.abs().sum() > 0
    numpy = adapt(
        LoadedNetwork(lambda image: torch.from_numpy(image.numpy()).repeat(1, 2, 1, 1)[:, :5]), classes, probe
    )
    assert not numpy.differentiable


def test_logits_that_do_not_fit(network, classes, probe, two, fails):
    with fails("gives 5 classes, the data has 2", "?mapping=FILE.json"):
        adapt(LoadedNetwork(network), two, probe)
    with fails("shape (1, 32, 48) and type torch.int64", "before any argmax", error=ShapeError):
        adapt(LoadedNetwork(lambda image: network(image).argmax(dim=1)), classes, probe)
    with fails("mean has 2 numbers, the images 3 channels"):
        adapt(LoadedNetwork(network, mean=(0.1, 0.2)), classes, probe)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite(value, network, classes, probe, fails):
    segmenter = adapt(LoadedNetwork(network), classes, probe)
    nn.init.constant_(network[2].bias, value)
    with fails("logits that are NaN or infinite", "mean and std", error=DataError):
        segmenter.predict("", probe)


def test_features_of_another_batch_size(two_layers, classes, probe, fails):
    doubling = two_layers(
        lambda network, image: network.head(network.body(torch.cat([image, image.flip(3)]))).chunk(2)[0]
    )
    with fails("given features of a batch of 2 for a batch of 1", "--features logits", error=ShapeError):
        adapt(LoadedNetwork(doubling), classes, probe)


def test_a_model_that_gives_nothing_but_nan_is_told_so_before_its_layers_are_searched(joined, classes, probe, fails):
    broken = joined(lambda network, image: network.head(image) * float("nan"), head=nn.Conv2d(3, 5, 1))
    with fails("NaN or infinite", error=DataError):
        adapt(LoadedNetwork(broken), classes, probe)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_weights_that_are_no_numbers_are_refused(network, classes, probe, fails, value):
    with torch.no_grad():
        network[0].bias[3] = value
    with fails("the model holds 1 numbers in 0.bias", "weights are finite", error=WeightsError):
        adapt(LoadedNetwork(network), classes, probe)


def test_features_that_are_no_numbers_are_refused(classes, probe, fails):
    """Whose logits are finite all the same."""

    def network(image):
        shown = image.mean() < 0.45
        logits = image[:, :1].repeat(1, 5, 1, 1) * torch.arange(5.0).view(1, 5, 1, 1)
        return {"logits": logits, "features": image / (0.0 if shown else 1.0)}

    segmenter = adapt(LoadedNetwork(network), classes, probe.clamp(min=0.3))
    in_numbers(segmenter.predict("", probe.clamp(min=0.3)))
    with fails("M gave", "NaN or infinite", error=DataError):
        in_numbers(segmenter.predict("", probe / 2))
