"""Which layer is found in which architecture, and when the user is asked instead."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from synthcp.errors import ShapeError
from synthcp.segmentation.adapters import adapt
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.segmentation.feature_layer import feature_map, folded, named_layer
from synthcp.segmentation.loaded import LoadedNetwork
from synthcp.segmentation.specs import open_model


def sum_of_heads(network: nn.Module, image: Tensor) -> Tensor:
    """Two classifiers of two feature maps, added, as in LR-ASPP."""
    low = network.stem(image).relu()
    high = network.high(network.body(low).relu())
    return network.low(low) + nn.functional.interpolate(high, size=low.shape[2:])


def corrected(network: nn.Module, image: Tensor) -> Tensor:
    """A classifier, and a layer after it that corrects its logits, as in MONAI's residual U-Net."""
    logits = network.classifier(network.body(image).relu())
    return logits + network.correction(logits)


def with_auxiliary(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """A second head that runs last and returns its logits beside the others."""
    features = network.body(image)
    return {"out": network.head(features.relu()), "edges": network.second(features)}


def of_tokens(network: nn.Module, image: Tensor) -> Tensor:
    """A transformer's head: a linear layer on a row of patches."""
    patches = network.body(image)
    return network.head(patches.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, patches.shape[2:])


def channels_last(network: nn.Module, image: Tensor) -> Tensor:
    return network.head(network.body(image).movedim(1, -1)).movedim(-1, 1)


Build = Callable[[Callable[..., nn.Module]], nn.Module]
NETWORKS: dict[str, tuple[Build, str, tuple[int, ...]]] = {
    "sequential": (
        lambda _: nn.Sequential(
            nn.Conv2d(3, 5, 1), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.Conv2d(4, 5, 1), nn.Upsample(None, 2)
        ),
        "3",
        (4, 64, 96),
    ),
    "transposed": (lambda _: nn.Sequential(nn.Conv2d(3, 6, 2, 2), nn.ConvTranspose2d(6, 5, 2, 2)), "1", (6, 32, 48)),
    "one channel": (lambda _: nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 1, 1)), "2", (6, 64, 96)),
    "sum of classifiers": (
        lambda joined: joined(
            lambda network, image: network.inner.forward_with_features(image)[0],
            inner=DeepLab(2, DeepLabConfig(5, width=4, rates=(1, 2))),
        ),
        "inner.pyramid",
        (32, 8, 12),
    ),
    "residual": (
        lambda joined: joined(
            corrected, body=nn.Conv2d(3, 7, 1), classifier=nn.Conv2d(7, 5, 1), correction=nn.Conv2d(5, 5, 1)
        ),
        "classifier",
        (7, 64, 96),
    ),
    "auxiliary": (
        lambda joined: joined(
            with_auxiliary, body=nn.Conv2d(3, 7, 1), head=nn.Conv2d(7, 5, 1), second=nn.Conv2d(7, 5, 1)
        ),
        "head",
        (7, 64, 96),
    ),
    "tokens": (
        lambda joined: joined(of_tokens, body=nn.Conv2d(3, 6, 8, stride=8), head=nn.Linear(6, 5)),
        "head",
        (6, 8, 12),
    ),
    "channels last": (
        lambda joined: joined(channels_last, body=nn.Conv2d(3, 6, 3, stride=4, padding=1), head=nn.Linear(6, 5)),
        "head",
        (6, 16, 24),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_layer_of_a_plain_network(name, joined, classes, probe):
    build, layer, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = build(joined)
    if name == "one channel":
        classes = type(classes)(classes.names[:2], classes.colors[:2])
    segmenter = adapt(LoadedNetwork(network), classes, probe)
    assert segmenter.feature_name.startswith(layer)
    features = segmenter.predict("", probe).features
    assert features.shape == (1, *shape)
    if layer == "head" and name != "auxiliary":  # a linear layer: its features get their channels first
        torch.testing.assert_close(features, network.body(probe))


@pytest.mark.parametrize(
    ("name", "layer", "channels", "factor"),
    [
        ("segformer", "decode_head.classifier", 16, 4),
        ("upernet", "decode_head.classifier", 16, 4),
        ("dpt", "head.head.4", 8, 2),
        ("mask2former", "pixel_decoder_last_hidden_state", 32, 4),
        ("maskformer", "pixel_decoder_last_hidden_state", 32, 4),
    ],
)
def test_the_layer_of_models_of_transformers(name, layer, channels, factor, huggingface, classes):
    image = torch.rand(1, 3, 64, 64)
    predictor, settings = open_model(f"hf:{huggingface(name)}", classes, image)
    assert (settings.features, settings.layers) == (layer, 1)
    assert predictor.predict("", image).features.shape == (1, channels, 64 // factor, 64 // factor)


@pytest.mark.parametrize(
    ("name", "layer", "channels"),
    [("UNet", "model.2.conv", 16), ("residual UNet", "model.2.0.conv", 16), ("SegResNet", "conv_final.2.conv", 8)],
)
def test_the_layer_of_volume_networks_of_monai(name, layer, channels, classes):
    from monai.networks.nets import SegResNet, UNet

    torch.manual_seed(0)
    units = 2 if name == "residual UNet" else 0
    unet = UNet(3, 2, 5, channels=(8, 16, 32), strides=(2, 2), num_res_units=units)
    network = SegResNet(3, 8, 2, 5) if name == "SegResNet" else unet
    probe = torch.rand(1, 2, 8, 16, 24)
    predictor, settings = open_model(network, classes, probe)
    assert settings.features == layer
    prediction = predictor.predict("", probe)
    assert prediction.logits.shape == (1, 5, 8, 16, 24)
    assert prediction.features.shape[:2] == (1, channels)


@pytest.mark.parametrize("stem", [8, 5], ids=["", "with a stem as wide as the classes"])
def test_two_heads_that_share_the_decision_are_a_question(stem, joined, fails, classes, probe):
    torch.manual_seed(0)
    layers = {"stem": nn.Conv2d(3, stem, 3, padding=1), "body": nn.Conv2d(stem, 6, 3, stride=2, padding=1)}
    network = joined(sum_of_heads, **layers, low=nn.Conv2d(stem, 5, 1), high=nn.Conv2d(6, 5, 1))
    with fails("could be high or low", "no one of them decides alone", "--features MODULE", "--features logits"):
        adapt(LoadedNetwork(network), classes, probe)
    segmenter = adapt(LoadedNetwork(network, features="high"), classes, probe)
    torch.testing.assert_close(segmenter.predict("", probe).features, network.body(network.stem(probe).relu()).relu())


def test_a_network_without_a_layer_that_gives_classes_is_a_question(joined, fails, classes, probe):
    groups = joined(lambda network, image: network.body(image).unflatten(1, (5, 2)).sum(2), body=nn.Conv2d(3, 10, 1))
    with fails("no layer of the model is seen to give its 5 classes", "--features logits"):
        adapt(LoadedNetwork(groups), classes, probe)


def test_the_logits_may_stand_in(network, classes, probe):
    prediction = adapt(LoadedNetwork(network, features="logits"), classes, probe).predict("", probe)
    torch.testing.assert_close(prediction.features, network(probe))


def test_an_unknown_layer_is_corrected(network, joined, fails):
    with fails("no module 'clasifier'", "did you mean classifier?", "--features MODULE"):
        named_layer(joined(corrected, classifier=nn.Conv2d(7, 5, 1)), "clasifier")
    with fails("no module 'decoder.head'", "its parts are 0, 1, 2"):
        named_layer(network, "decoder.head")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (torch.rand(3, 8, 4, 6), "features of a batch of 3 for a batch of 2"),
        (torch.rand(2, 8), "features of shape (2, 8), which do not lie on the image"),
        (torch.rand(2, 23, 8), "features of shape (2, 23, 8)"),
        ([torch.rand(2, 8, 4, 6)], "no feature map but list"),
        (None, "no feature map but NoneType"),
    ],
)
def test_what_is_no_feature_map(given, text, fails):
    with fails(f"head is given {text}", "--features logits", error=ShapeError):
        feature_map(given, None, "head", torch.rand(2, 3, 16, 24))


@pytest.mark.parametrize(
    ("places", "size", "grid"),
    [
        (96, (64, 96), (8, 12)),
        (12, (48, 64), (3, 4)),
        (35, (33, 47), (5, 7)),
        (24, (32, 48, 64), (2, 3, 4)),
        (97, (64, 96), ()),  # 8 x 12 and a token for the whole image
        (7, (64, 64), ()),
    ],
)
def test_places_are_folded_into_the_grid_of_the_image(places, size, grid):
    assert folded(places, size) == grid
