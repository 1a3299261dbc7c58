"""Models by SPEC, and opened again as a monitor does."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from synthcp.config.values import from_dict, to_dict
from synthcp.errors import InputError, MissingExtraError, WeightsError
from synthcp.segmentation.adapters import adapt
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.segmentation.loaded import LoadedNetwork
from synthcp.segmentation.settings import ModelSettings
from synthcp.segmentation.specs import open_model, reopen_model, replace_model

SOURCE = """
import torch
from torch import nn
from layers import head  # a neighbour of this file

def load(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), head())

def other():
    return load(1)

def broken():
    raise OSError("weights.bin\\nis not there")

def text():
    return "model"

def leaves():
    raise SystemExit(3)

def segmenter():
    from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
    return DeepLab(2, DeepLabConfig(5, width=4, rates=(1,)))

ready = load()
"""


@pytest.fixture
def file(tmp_path):
    """A file with factories, and a neighbour that it imports."""
    (tmp_path / "layers.py").write_text("from torch import nn\ndef head(): return nn.Conv2d(8, 5, 1)\n")
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    yield path
    sys.modules.pop("layers", None)


@pytest.mark.parametrize("name", ["load", "ready"])
def test_a_factory_in_a_file(name, file, classes, probe):
    before = list(sys.path)
    segmenter, settings = open_model(f"{file}:{name}?mean=0.5&std=0.1,0.2,0.3&input=resize:32x48", classes, probe)
    assert sys.path == before
    assert (settings.features, settings.layers, settings.probe_size) == ("2", 1, (64, 96))
    assert str(segmenter.input_size) == "resize:32x48"
    assert segmenter.mean.flatten().tolist() == [0.5] and segmenter.std.flatten().tolist() == pytest.approx(
        [0.1, 0.2, 0.3]
    )


def test_a_factory_in_a_module(monkeypatch, file, classes, probe):
    monkeypatch.syspath_prepend(file.parent)
    segmenter, settings = open_model("mine:load", classes, probe)
    assert settings.spec == "mine:load" and segmenter.predict("", probe).logits.shape == (1, 5, 64, 96)
    monkeypatch.delitem(sys.modules, "mine")


def test_a_factory_that_returns_a_segmenter(file, classes, probe, fails):
    segmenter, settings = open_model(f"{file}:segmenter", classes, probe)
    assert isinstance(segmenter, DeepLab) and settings.layers == 4
    with fails("is a Segmenter", "leave the options out"):
        open_model(f"{file}:segmenter?mean=0.5", classes, probe)


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        (
            "FILE:broken",
            ("mine.py:broken raised OSError: weights.bin is not there (mine.py, line 14)", "without arguments"),
        ),
        ("FILE:leaves", ("mine.py:leaves raised SystemExit: 3",)),
        ("FILE:laod", ("has no function 'laod'", "did you mean load?")),
        ("FILE:text", ("returned str", "a callable from image to logits")),
        ("FILE.py:load", ("no such file", "current folder")),
        ("no.such.package:load", ("no.such.package cannot be imported", "ModuleNotFoundError")),
        ("hff", ("no model kind 'hff'", "did you mean hf?", "tv, smp, onnx, preds, FILE.py:FACTORY")),
        ("a b:c", ("no model kind 'a b'", "MODULE:FACTORY")),
        ("FILE:load?input=big", ("input size 'big' is unknown", "short:512")),
        ("FILE:load?mean=grey", ("'grey' is no list of numbers", "mean=0.485,0.456,0.406")),
        ("FILE:load?maen=0", ("no option 'maen'", "did you mean mean?")),
        ("FILE:load?weights=a", ("no option 'weights'",)),
        ("FILE:load?mapping=nowhere.json", ("nowhere.json is missing",)),
        ("hf:nowhere/at/all", ("hf:nowhere/at/all: no such folder",)),
        ("onnx:nowhere.onnx", ("nowhere.onnx: no such file",)),
        ("preds:", ("names no folder of predictions; write preds:DIR",)),
        ("preds:nowhere", ("nowhere: no such folder",)),
    ],
)
def test_a_wrong_spec(spec, texts, file, classes, probe, fails):
    with fails(*texts):
        open_model(spec.replace("FILE", str(file)), classes, probe)


@pytest.mark.parametrize(
    ("line", "told"),
    [("raise ValueError('not today')", "ValueError: not today"), ("raise SystemExit('no')", "SystemExit: no")],
)
def test_a_file_that_cannot_be_imported(line, told, tmp_path, classes, probe, fails):
    (tmp_path / "bad.py").write_text(f"x = 1\n{line}\n")
    with fails(f"bad.py cannot be imported: it raised {told} (bad.py, line 2)"):
        open_model(f"{tmp_path / 'bad.py'}:load", classes, probe)


def test_a_mapping_by_option(file, tmp_path, classes, probe):
    names = ["road", "sky", "car", "tree", "person"]
    (tmp_path / "mapping.json").write_text(json.dumps({str(index): name for index, name in enumerate(names)}))
    plain, _ = open_model(f"{file}:load", classes, probe)
    mapped, _ = open_model(f"{file}:load?mapping={tmp_path / 'mapping.json'}", classes, probe)
    expected = plain.predict("", probe).logits[:, [1, 0, 2, 3, 4]]
    torch.testing.assert_close(mapped.predict("", probe).logits, expected)


def test_what_is_stored_opens_the_same_model_again(file, classes, probe):
    segmenter, settings = open_model(f"{file}:load", classes, probe)
    stored = from_dict(ModelSettings, json.loads(json.dumps(to_dict(settings))))
    assert stored == settings
    again = reopen_model(stored, classes, 3).predictor
    torch.testing.assert_close(again.predict("", probe).logits, segmenter.predict("", probe).logits)


def test_weights_that_have_changed(file, classes, probe, fails):
    _, settings = open_model(f"{file}:load", classes, probe)
    file.write_text(SOURCE.replace("seed=0", "seed=2"))
    with fails("have changed since the fit; restore them or fit again", error=WeightsError):
        reopen_model(settings, classes, 3)
    assert replace_model(f"{file}:other", settings, classes, 3).predictor.feature_name == "2"


def test_a_model_that_has_moved(file, classes, probe, fails):
    _, settings = open_model(f"{file}:load", classes, probe)
    file.rename(file.with_name("moved.py"))
    with fails("mine.py: no such file", "if M has moved since the fit, say where it is: --model SPEC"):
        reopen_model(settings, classes, 3)


def test_features_that_were_chosen_are_kept(file, classes, probe):
    _, settings = open_model(f"{file}:load", classes, probe, "1")
    assert settings.features == "1"
    assert reopen_model(settings, classes, 3).predictor.predict("", probe).features.shape == (1, 8, 64, 96)


def test_another_model_has_its_features_where_the_first_one_had_them(file, network, classes, probe):
    _, settings = open_model(network, classes, probe, "logits")
    assert replace_model(network, settings, classes, 3).settings == settings
    assert replace_model(f"{file}:load", settings, classes, 3).settings.features == "logits"
    elsewhere = replace(settings, features="no.such.place")
    assert replace_model(network, elsewhere, classes, 3).settings.features == "2"  # found by itself


def test_objects(network, classes, probe, fails):
    segmenter, settings = open_model(network, classes, probe)
    assert settings.spec == "Sequential" and settings.features == "2"
    with fails("Python object (Sequential)", "--model SPEC"):
        reopen_model(settings, classes, 3)
    again = replace_model(network, settings, classes, 3).predictor
    torch.testing.assert_close(again.predict("", probe).logits, segmenter.predict("", probe).logits)
    function, settings = open_model(lambda image: network(image), classes, probe)
    assert settings.features == "logits" and "lambda" in settings.spec


def test_segmenters_are_taken_as_they_are(network, classes, probe):
    deeplab = DeepLab(2, DeepLabConfig(5, width=4, rates=(1,)))
    same, settings = open_model(deeplab, classes, probe)
    assert same is deeplab and (settings.spec, settings.layers) == ("DeepLab", 4)
    adapted = adapt(LoadedNetwork(network), classes, probe)
    same, settings = open_model(adapted, classes, probe)
    assert same is adapted and settings.features == "2" and settings.fingerprint == adapted.fingerprint


def test_the_fingerprint_is_of_names_and_values(network, classes, probe):
    prints = [open_model(network, classes, probe)[1].fingerprint]
    prints.append(open_model(network, classes, probe)[1].fingerprint)
    with torch.no_grad():
        network[2].bias[3] += 1e-6
    prints.append(open_model(network, classes, probe)[1].fingerprint)
    prints.append(open_model(nn.Sequential(*network, nn.Identity()), classes, probe)[1].fingerprint)
    assert prints[0] == prints[1] != prints[2] == prints[3]


@pytest.mark.parametrize(
    ("spec", "library", "extra"),
    [
        ("hf:PLACE", "transformers", "hf"),
        ("onnx:PLACE", "onnx", "export"),
        ("tv:fcn_resnet50?weights=a", "torchvision", "zoo"),
        ("smp:Unet/resnet18?weights=a", "segmentation_models_pytorch", "zoo"),
    ],
)
def test_a_library_that_is_not_installed(spec, library, extra, tmp_path, monkeypatch, classes, probe):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError) as caught:
        open_model(spec.replace("PLACE", str(tmp_path)), classes, probe)
    assert str(caught.value) == f'{library} is not installed; it comes with: pip install "synthcp[{extra}]"'


def test_a_library_that_does_not_work(monkeypatch, tmp_path, classes, probe, fails):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    with fails(
        "torchvision is installed but cannot be imported", "torchvision::nms", "synthcp doctor", error=InputError
    ):
        open_model("tv:fcn_resnet50?weights=a", classes, probe)
