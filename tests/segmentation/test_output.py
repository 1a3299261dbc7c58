"""What a model returns is told, and read as the logits that it is worth; through torch, ONNX and transformers alike."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from synthcp.errors import DataError
from synthcp.records import Classes
from synthcp.segmentation.adapters import adapt
from synthcp.segmentation.loaded import LoadedNetwork
from synthcp.segmentation.output import as_logits, last_operation, told_output
from synthcp.segmentation.specs import open_model, reopen_model, replace_model

TWO = Classes(("background", "polyp"), ((0, 0, 0), (255, 0, 0)))
SEVERAL = {
    "softmax": (nn.Softmax(dim=1), "probabilities"),
    "log softmax": (nn.LogSoftmax(dim=1), "log_probabilities"),
    "sigmoid": (nn.Sigmoid(), "sigmoid"),
    "nothing": (nn.Identity(), "logits"),
}
ONE = {"sigmoid": (nn.Sigmoid(), "sigmoid"), "log sigmoid": (nn.LogSigmoid(), "log_probabilities")}


def brightness() -> nn.Module:
    """One channel, the logit 12 (mean - 1/2) of the class of bright pixels."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 1, 1)).eval()
    for layer in network:
        nn.init.constant_(layer.weight, 1.0)
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        network[1].weight.fill_(1.0)
        network[1].bias.fill_(-6.0)
    return network


def hidden(network: nn.Module):
    """The same as a plain function through NumPy, of which nothing but the numbers is seen."""
    return lambda image: torch.from_numpy(network(image).detach().numpy().copy())


@pytest.fixture
def exported(tmp_path):
    """SPEC of a network as an ONNX file for images of any size."""

    def export(network: nn.Module) -> str:
        axes = {"image": {0: "batch", 2: "height", 3: "width"}}
        names = {"input_names": ["image"], "output_names": ["logits"], "dynamic_axes": axes}
        with warnings.catch_warnings(action="ignore"):  # the exporter's own
            torch.onnx.export(network, (torch.rand(1, 3, 32, 48),), tmp_path / "m.onnx", dynamo=False, **names)
        return f"onnx:{tmp_path / 'm.onnx'}"

    return export


@pytest.mark.parametrize("way", ["torch", "numbers alone", "onnx"])
@pytest.mark.parametrize("end", ONE)
def test_one_channel_gives_the_right_label_map(end, way, exported, probe, fails):
    network = nn.Sequential(*brightness(), ONE[end][0])
    model = {"torch": network, "numbers alone": hidden(network), "onnx": network}[way]
    if (end, way) == ("log sigmoid", "numbers alone"):  # that might as well be a logit that is always below 0
        with fails("one channel of numbers from", "?output=logits|probabilities|sigmoid|log_probabilities"):
            open_model(model, TWO, probe)
        segmenter, settings = open_model(model, TWO, probe, output="log_probabilities")
    else:
        segmenter, settings = open_model(exported(network) if way == "onnx" else model, TWO, probe)
    prediction = segmenter.predict("", probe)
    bright = probe.mean(dim=1) > 0.5
    assert 0.2 < bright.float().mean() < 0.8 and torch.equal(prediction.label_map, bright.long())
    torch.testing.assert_close(prediction.logits[:, 1:], brightness()(probe), atol=2e-3, rtol=0)
    assert settings.output == ONE[end][1] and "read as logits" in settings.in_words()


@pytest.mark.parametrize("way", ["torch", "numbers alone", "onnx"])
@pytest.mark.parametrize("end", SEVERAL)
def test_several_channels_give_the_right_probabilities(end, way, network, exported, classes, probe):
    activation, told = SEVERAL[end]
    with torch.no_grad():
        network[2].weight.mul_(9)
    ended = nn.Sequential(*network, activation)
    model = {"torch": lambda: ended, "numbers alone": lambda: hidden(ended), "onnx": lambda: exported(ended)}[way]()
    segmenter, settings = open_model(model, classes, probe)
    prediction, raw = segmenter.predict("", probe), network(probe)
    assert settings.output == told and settings.note == ("" if told == "logits" else settings.note)
    torch.testing.assert_close(
        adapted(raw, probe).softmax(dim=1), prediction.probabilities, atol=1e-3 if end != "sigmoid" else 5e-3, rtol=0
    )


def adapted(raw: Tensor, probe: Tensor) -> Tensor:
    return nn.functional.interpolate(raw, probe.shape[2:], mode="bilinear", align_corners=False)


def test_a_transformers_model_that_ends_in_a_sigmoid(huggingface, joined, classes):
    from transformers import SegformerForSemanticSegmentation as Segformer

    segformer, probe = Segformer.from_pretrained(huggingface("segformer")).eval(), torch.rand(1, 3, 64, 96)
    network = joined(lambda network, image: network.inner(image).logits.sigmoid(), inner=segformer)
    segmenter, settings = open_model(network, classes, probe)
    plain, _ = open_model(joined(lambda network, image: network.inner(image), inner=segformer), classes, probe)
    assert settings.output == "sigmoid"
    torch.testing.assert_close(segmenter.predict("", probe).logits, plain.predict("", probe).logits, atol=1e-3, rtol=0)


def test_what_is_not_certain_is_asked_and_the_answer_is_taken(probe, fails):
    def unsure(image: Tensor) -> Tensor:
        return torch.from_numpy(0.3 * image[:, :1].detach().numpy())

    with fails("one channel of numbers from 0 to 0.3", "logits or probabilities; say which: ?output=logits|"):
        adapt(LoadedNetwork(unsure), TWO, probe)
    shares = {}
    for output in ("logits", "sigmoid", "probabilities"):
        prediction = adapt(LoadedNetwork(unsure, output=output), TWO, probe).predict("", probe)
        shares[output] = prediction.label_map.float().mean()
        if output != "logits":
            torch.testing.assert_close(prediction.probabilities[:, 1:], 0.3 * probe[:, :1])
    assert shares["logits"] > 0.99 and shares["sigmoid"] == shares["probabilities"] == 0


def test_class_indices_as_numbers_are_refused(network, classes, probe, fails):
    with fails("class indices up to 4", "return logits, before any argmax"):
        adapt(LoadedNetwork(lambda image: network(image).argmax(dim=1, keepdim=True).float()), classes, probe)


def test_another_image_that_contradicts_is_an_error_and_no_number(probe, fails):
    network = hidden(nn.Sequential(*brightness(), nn.Sigmoid()))
    segmenter = adapt(LoadedNetwork(lambda image: network(image) + 3.0 * (image.std() < 0.001)), TWO, probe)
    segmenter.returns = "sigmoid"
    with fails("returns numbers from 3", "no longer probabilities of a sigmoid", "?output=", error=DataError):
        segmenter.predict("", torch.full_like(probe, 0.5))


def test_a_monitor_opens_its_model_with_what_was_told(tmp_path, probe, fails):
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n\n\ndef load():\n    return lambda image: torch.from_numpy(image[:, :1].numpy() * 0.3)\n"
    )
    with fails("?output="):
        open_model(f"{file}:load", TWO, probe)
    opened, settings = open_model(f"{file}:load?output=sigmoid", TWO, probe)
    assert reopen_model(settings, TWO, 3).predictor.returns == opened.returns == settings.output == "sigmoid"
    assert replace_model(f"{file}:load", settings, TWO, 3).settings.output == "sigmoid"  # as that of the fit
    with fails("output=sigmod", "did you mean sigmoid?"):
        open_model(f"{file}:load?output=sigmod", TWO, probe)


def test_half_precision_weights_are_given_images_of_their_type(network, classes, probe):
    segmenter = adapt(LoadedNetwork(network.bfloat16()), classes, probe)
    raw = network.float()(probe.bfloat16().float())
    torch.testing.assert_close(segmenter.predict("", probe).logits, adapted(raw, probe), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("function", "last"),
    [
        (lambda x: nn.functional.conv2d(x, torch.ones(2, 3, 1, 1)), "linear"),
        (lambda x: nn.functional.interpolate(nn.functional.conv2d(x, torch.ones(2, 3, 1, 1))[:, :1], (9, 9)), "linear"),
        (
            lambda x: nn.functional.interpolate(x.sigmoid(), scale_factor=2, mode="bilinear")[:, :1].clone(),
            "activation",
        ),
        (lambda x: x.softmax(dim=1).permute(0, 2, 3, 1), "activation"),
        (lambda x: x * 2, ""),
        (lambda x: x.detach(), ""),
    ],
)
def test_the_last_operation_is_told_by_the_gradient(function, last):
    assert last_operation(function(torch.rand(1, 3, 8, 8, requires_grad=True))) == last


def test_images_that_are_not_finite_tell_nothing():
    plain, broken = torch.tensor([-1.0, 2.0]).view(1, 1, 1, 2), torch.full((1, 1, 1, 2), float("nan"))
    assert told_output([plain, broken]) == told_output([plain]) == "logits"


def test_logits_of_extreme_probabilities_stay_finite():
    for output in ("sigmoid", "probabilities"):
        logits = as_logits(torch.tensor([0.0, 1.0]).view(1, 2, 1, 1), output)
        assert logits.isfinite().all() and logits[0, 1] - logits[0, 0] > 13
