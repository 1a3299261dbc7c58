"""Models by SPEC, as on the command line, and as a monitor stores them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from synthcp.errors import InputError, WeightsError
from synthcp.nn.spatial import SpatialDims, dims_of
from synthcp.records import Classes
from synthcp.segmentation.adapters import AdaptedSegmenter, adapt, outputs_of
from synthcp.segmentation.base import Predictor, Segmenter
from synthcp.segmentation.huggingface import load_huggingface
from synthcp.segmentation.input_size import InputSize
from synthcp.segmentation.loaded import LoadedNetwork, fingerprint_of_module
from synthcp.segmentation.onnx_file import load_onnx
from synthcp.segmentation.output import IN_WORDS, OUTPUTS, Output
from synthcp.segmentation.python_file import load_factory
from synthcp.segmentation.saved import SavedPredictions
from synthcp.segmentation.settings import ModelSettings
from synthcp.segmentation.zoo import load_smp, load_torchvision
from synthcp.system.spec import PREDICTIONS, Spec, choice, choices, path_of, values

PROBE_SIZE = (96, 128)
"""Of the image by which a model is tried that takes the place of one whose monitor remembers no size."""


class OpenedModel(NamedTuple):
    """A model that was tried on an image and will do, and what is stored of it."""

    predictor: Predictor
    settings: ModelSettings


AnyModel = str | Predictor | Callable[[Tensor], object] | OpenedModel
"""Whatever can be M: its SPEC (docs/own-model.md lists them), a Segmenter, any callable from an image (B, C, *S) in
[0, 1] to logits, such as a torch.nn.Module, or what open_model made of one of these."""


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.split(",")))
    except ValueError as error:
        raise InputError(f"{text!r} is no list of numbers; write one a channel: mean=0.485,0.456,0.406") from error


def _path(text: str) -> Path:
    return path_of(text)


ADAPTATION: dict[str, tuple[str, Callable[[str], object]]] = {
    "mean": ("mean", _numbers),
    "std": ("std", _numbers),
    "input": ("input_size", InputSize.parse),
    "mapping": ("mapping", _path),
    "output": ("output", choice(*OUTPUTS)),
}
"""Options of every live model: what each says of a LoadedNetwork, and how it is read."""


@dataclass(frozen=True)
class ModelRequest:
    """What a kind of model is opened with.

    Attributes:
        place: What follows the colon of the SPEC.
        features: Where f_M is, if the user says.
        channels: Of the images.
        weights: The file of the weights; empty where there is none.
        offline: Whether the network must not be touched.
    """

    place: str
    features: str
    channels: int
    weights: str = ""
    offline: bool = False


@dataclass(frozen=True)
class Kind:
    """How one kind of live model is loaded, the options that it takes, and whether it is code that is run."""

    load: Callable[[ModelRequest], LoadedNetwork]
    options: tuple[str, ...] = tuple(ADAPTATION)
    runs_code: bool = False


KINDS: dict[str, Kind] = {
    "hf": Kind(lambda request: load_huggingface(request.place, request.offline)),
    "tv": Kind(lambda request: load_torchvision(request.place, request.weights), ("weights", *ADAPTATION)),
    "smp": Kind(lambda request: load_smp(request.place, request.weights, request.channels), ("weights", *ADAPTATION)),
    "onnx": Kind(lambda request: load_onnx(request.place, request.features)),
}
NAMES = (*KINDS, PREDICTIONS, "FILE.py:FACTORY", "MODULE:FACTORY")


@dataclass(frozen=True)
class Asked:
    """What is asked of a live model beside its SPEC.

    Attributes:
        features: Where f_M is; found by itself when empty.
        output: What it returns; told by itself when None.
        offline: Whether the network must not be touched, as for a SPEC that nobody typed.
    """

    features: str = ""
    output: Output | None = None
    offline: bool = False


def open_model(
    model: AnyModel, classes: Classes, probe: Tensor, features: str = "", output: Output | None = None
) -> OpenedModel:
    """Open the M that somebody brought.

    Args:
        model: M; one that is open already is returned as it is.
        classes: The label set that its predictions must have.
        probe: An image of the data, shape (1, C, *S), in [0, 1], by which the model is tried.
        features: Where f_M is: the module whose input it is, an entry of the model's output, or "logits"; found by
            itself when empty.
        output: What the model returns: "logits", "probabilities" that sum to 1 over the classes, "sigmoid" or
            "log_probabilities"; told by itself when None. The option of a SPEC goes before it.

    Raises:
        InputError: The SPEC is unknown, what the model returns must be said, or it does not do what it
            should with the probe.
        MissingExtraError: A library that the model needs is not installed.
    """
    if isinstance(model, OpenedModel):
        return model
    if isinstance(model, str):
        spec, predictor = model, _opened(Spec.parse(model), classes, probe, Asked(features, output))
    elif isinstance(model, Segmenter) or not callable(model):
        spec, predictor = type(model).__name__, model
    else:
        spec = getattr(model, "__qualname__", type(model).__name__)
        predictor = adapt(LoadedNetwork(model, features=features, output=output), classes, probe)
    return OpenedModel(predictor, _settings(spec, predictor, probe))


def own_names(model: AnyModel, probe: Tensor) -> tuple[str, ...]:
    """Return the names of the classes that an M tells apart by itself, in their order; numbers where it has none.

    Args:
        model: M, see open_model.
        probe: An image, shape (1, C, *S), in [0, 1].

    Raises:
        InputError: They cannot be seen, as those of predictions on disk or of a mapping, or M does not do what it
            should with the probe.
    """
    names, count = _own_names(model, probe)
    return names if len(names) == count else tuple(f"class {index}" for index in range(count))


def _own_names(model: AnyModel, probe: Tensor) -> tuple[tuple[str, ...], int]:
    if isinstance(model, str):
        spec = Spec.parse(model)
        if spec.name == PREDICTIONS or "mapping" in spec.text:
            raise InputError(f"{spec.text} does not tell its classes; give them, in their order")
        loaded = _loaded(spec, probe, Asked())
    else:
        network = model.predictor if isinstance(model, OpenedModel) else model
        if not callable(network):
            raise InputError(f"a {type(network).__name__} does not tell its classes; give them, in their order")
        loaded = LoadedNetwork(network)
    if isinstance(loaded.network, Segmenter):
        with torch.no_grad():
            return (), loaded.network.predict("", probe).logits.shape[1]
    return loaded.class_names, outputs_of(loaded, probe)


def reopen_model(settings: ModelSettings, classes: Classes, channels: int) -> OpenedModel:
    """Open the M of a monitor again, without the network.

    Args:
        settings: What is stored of it.
        classes: Of the monitor.
        channels: Of the images.

    Raises:
        InputError: The model cannot be opened.
        WeightsError: Its weights have changed since the fit.
    """
    if ":" not in settings.spec:
        raise InputError(f"M was a Python object ({settings.spec}) when it was fitted; give it again, or --model SPEC")
    spec, probe = Spec.parse(settings.spec), _grey(settings, channels)
    asked = Asked(settings.features, settings.output, offline=True)
    try:
        predictor = _opened(spec, classes, probe, asked)
        opened = OpenedModel(predictor, _settings(settings.spec, predictor, probe))
    except InputError as error:
        raise type(error)(f"{error}; if M has moved since the fit, say where it is: --model SPEC") from error
    if opened.settings.fingerprint != settings.fingerprint:
        raise WeightsError(f"the weights of {settings.spec} have changed since the fit; restore them or fit again")
    return opened


def refuse_code(settings: ModelSettings) -> None:
    """See to it that what a monitor, perhaps somebody else's, names as its M is no code.

    Raises:
        InputError: It is; the message names what would be run.
    """
    spec = Spec.parse(settings.spec)
    if spec.root and spec.name != PREDICTIONS and _kind(spec).runs_code:
        raise InputError(
            f"the monitor's M is {spec.text}: {spec.root} of {spec.name} would be run, and a monitor runs code only "
            "if you trust it; look at it, then add --trust-code (Python: trust_code=True), or name M: --model SPEC"
        )


def replace_model(model: AnyModel, settings: ModelSettings, classes: Classes, channels: int) -> OpenedModel:
    """Open another M in the place of a monitor's own; its f_M is where it was there, if it has such a place.

    Args:
        model: The other one.
        settings: What is stored of the monitor's own.
        classes: Of the monitor.
        channels: Of the images.

    Raises:
        InputError: The model cannot be opened, or it shows fewer or more feature maps than F was fitted with.
    """
    probe = _grey(settings, channels)
    output = None if settings.output == "logits" else settings.output  # which a model that differs contradicts
    try:
        opened = open_model(model, classes, probe, settings.features, output)
    except InputError:  # of a place that it does not have, perhaps
        opened = open_model(model, classes, probe)
    other = opened.settings
    if other.layers != settings.layers:
        raise InputError(
            f"the monitor was fitted with an M that shows {settings.layers} feature maps ({settings.spec}), "
            f"{other.spec} shows {other.layers}; fit a monitor with --model {other.spec}"
        )
    return opened


def _grey(settings: ModelSettings, channels: int) -> Tensor:
    """An image by which a model is tried when those of the fit are not there."""
    return torch.full((1, channels, *(settings.probe_size or PROBE_SIZE)), 0.5)


def _opened(spec: Spec, classes: Classes, probe: Tensor, asked: Asked) -> Predictor:
    if spec.name == PREDICTIONS:
        return _saved(spec, classes, dims_of(probe), asked.features)
    loaded = _loaded(spec, probe, asked)
    return loaded.network if isinstance(loaded.network, Segmenter) else adapt(loaded, classes, probe)


def _loaded(spec: Spec, probe: Tensor, asked: Asked) -> LoadedNetwork:
    """A live model as its SPEC says."""
    kind = _kind(spec)
    options = spec.options(kind.options)
    weights = options.get("weights", "")
    loaded = kind.load(ModelRequest(spec.root, asked.features, probe.shape[1], weights, asked.offline))
    if isinstance(loaded.network, Segmenter):
        if options or asked.features:
            raise InputError(f"{spec.text} is a Segmenter, which knows how to see an image; leave the options out")
        return loaded
    told: dict[str, Any] = {"features": asked.features or loaded.features, "output": asked.output or loaded.output}
    readers = {key: read for key, (_, read) in ADAPTATION.items()}
    told |= {ADAPTATION[key][0]: value for key, value in values(options, readers).items()}
    return replace(loaded, **told)


def _saved(spec: Spec, classes: Classes, spatial_dims: SpatialDims, features: str) -> SavedPredictions:
    options = spec.options(("mapping",))
    if not spec.root:
        raise InputError(f"{spec.text} names no folder of predictions; write {PREDICTIONS}:DIR")
    if features:
        raise InputError(f"{spec.text} are predictions on disk, which have no features; leave --features out")
    mapping = _path(options["mapping"]) if "mapping" in options else None
    return SavedPredictions(Path(spec.root), classes, spatial_dims, mapping)


def _kind(spec: Spec) -> Kind:
    if spec.name in KINDS:
        return KINDS[spec.name]
    is_module = spec.name.endswith(".py") or all(part.isidentifier() for part in spec.name.split("."))
    if not (spec.root and is_module):
        raise InputError(f"{spec.text}: no model kind {spec.name!r}; {choices(spec.name, NAMES)}")
    return Kind(lambda request: load_factory(spec.name, request.place), runs_code=True)


def _settings(spec: str, predictor: Predictor, probe: Tensor) -> ModelSettings:
    """What is stored of a model, so that it can be opened again."""
    size = tuple(probe.shape[2:])
    if isinstance(predictor, AdaptedSegmenter):
        mapped = predictor.mapping.note if predictor.mapping is not None else ""
        read = "" if predictor.returns == "logits" else f"it returns {IN_WORDS[predictor.returns]}, read as logits"
        note = "; ".join(filter(None, (mapped, read)))
        return ModelSettings(spec, predictor.feature_name, 1, size, predictor.fingerprint, note, predictor.returns)
    if isinstance(predictor, Segmenter):
        with torch.no_grad():
            layers = len(predictor.to(probe.device).eval().predict("", probe).layers)
        return ModelSettings(spec, "", layers, size, fingerprint_of_module(predictor))
    return ModelSettings(spec, "", 0, size)
