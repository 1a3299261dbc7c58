from __future__ import annotations

import json
import math
import shutil
import socket

import pytest
import torch

from synthcp.errors import InputError, WeightsError
from synthcp.segmentation.base import EPSILON
from synthcp.segmentation.huggingface import MaskClassifier, load_huggingface
from synthcp.segmentation.loaded import IMAGENET_MEAN, IMAGENET_STD
from synthcp.segmentation.specs import open_model


@pytest.fixture
def offline(monkeypatch):
    """Any connection is an error."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def copy(huggingface, tmp_path):
    """A copy of a saved model, to be written to."""
    return lambda name: shutil.copytree(huggingface(name), tmp_path / name)


def test_the_logits_are_those_of_transformers_and_nothing_is_said(huggingface, classes, offline, capfd):
    from transformers import SegformerForSemanticSegmentation as Segformer

    folder = huggingface("segformer")
    image = torch.rand(2, 3, 48, 80)
    capfd.readouterr()
    predictor, _ = open_model(f"hf:{folder}", classes, image[:1])
    assert capfd.readouterr() == ("", "")
    normalised = (image - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    with torch.no_grad():
        expected = Segformer.from_pretrained(folder).eval()(normalised).logits
    assert expected.shape[2:] == (12, 20)
    resized = torch.nn.functional.interpolate(expected, size=(48, 80), mode="bilinear")
    torch.testing.assert_close(predictor.predict("", image).logits, resized)


def test_the_scores_of_a_mask_model_are_summed_over_its_queries(huggingface):
    from transformers import Mask2FormerForUniversalSegmentation as Mask2Former

    network = Mask2Former.from_pretrained(huggingface("mask2former")).eval()
    image = torch.rand(2, 3, 32, 64)
    with torch.no_grad():
        logits = MaskClassifier(network)(image)["logits"]
        output = network(image)
    assert logits.shape == (2, 5, 8, 16)
    for b, c, h, w in [(0, 0, 0, 0), (1, 4, 7, 15), (1, 2, 3, 9), (0, 3, 5, 1)]:
        score = 0.0
        for query in range(7):
            of_class = output.class_queries_logits[b, query].softmax(dim=0)  # five classes and "no object"
            score += float(of_class[c]) / (1 + math.exp(-output.masks_queries_logits[b, query, h, w]))
        assert float(logits[b, c, h, w]) == pytest.approx(math.log(score + EPSILON), abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        ({"do_normalize": False, "image_mean": [0.1, 0.2, 0.3]}, (0.0,), (1.0,)),
        (None, IMAGENET_MEAN, IMAGENET_STD),
    ],
)
def test_normalisation_comes_from_the_preprocessor(settings, mean, std, copy):
    folder = copy("segformer")
    if settings is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    loaded = load_huggingface(str(folder))
    assert (loaded.mean, loaded.std) == (mean, std)


def test_classes_are_found_by_the_names_of_the_config(copy, classes):
    folder = copy("segformer")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "car", "1": "sky", "2": "person", "3": "road", "4": "tree"}
    config["label2id"] = {name: int(index) for index, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    predictor, settings = open_model(f"hf:{folder}", classes, torch.rand(1, 3, 32, 32))
    assert predictor.mapping.sources == ((1,), (3,), (0,), (4,), (2,))
    assert settings.note == "the 5 classes of the data were found by name among the 5 of the model"


@pytest.mark.parametrize(
    ("name", "spoil", "texts", "error"),
    [
        (
            "segformer",
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            ("only as a pickle", "convert it with transformers", "save_pretrained"),
            WeightsError,
        ),
        (
            "segformer",
            lambda folder: (folder / "model.safetensors").unlink(),
            ("has no weights (model.safetensors)",),
            WeightsError,
        ),
        ("classifier", lambda _: None, ("lacks 16 weights", "decode_head", "trained to segment"), WeightsError),
        (
            "segformer",
            lambda folder: (folder / "config.json").write_text('{"model_type": "bert"}'),
            ("cannot be opened as a semantic segmentation model", "Unrecognized configuration", "save_pretrained"),
            InputError,
        ),
        ("segformer", lambda folder: (folder / "config.json").unlink(), ("has no config.json",), InputError),
    ],
)
def test_a_folder_without_a_whole_segmenter(name, spoil, texts, error, copy, fails):
    folder = copy(name)
    spoil(folder)
    with fails(*texts, error=error):
        load_huggingface(str(folder))


@pytest.mark.parametrize("place", ["./nowhere", "/nowhere", "~/nowhere", "some/where/nowhere", "my_segformer", ""])
def test_a_folder_that_is_not_there_is_not_asked_for_on_the_hub(place, offline, fails):
    with fails(f"hf:{place}: no such folder", "hf:OWNER/NAME"):
        load_huggingface(place)


def test_the_hub_does_not_answer(monkeypatch, fails):
    import transformers

    def refuse(*args, **kwargs):
        raise OSError("We couldn't connect to the hub\nand found nothing in the cache.")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", refuse)
    with fails("hf:owner/name cannot be opened", "couldn't connect to the hub and found nothing"):
        load_huggingface("owner/name")
