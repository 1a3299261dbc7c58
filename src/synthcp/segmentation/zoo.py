"""tv:ARCH and smp:ARCH/ENCODER, models of torchvision and of segmentation_models_pytorch with weights from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from synthcp.checkpoint import load_module, load_tensors
from synthcp.errors import InputError, WeightsError
from synthcp.segmentation.extras import import_extra
from synthcp.segmentation.loaded import IMAGENET_MEAN, IMAGENET_STD, LoadedNetwork
from synthcp.spec import choices


def load_torchvision(architecture: str, weights: str) -> LoadedNetwork:
    """Load a model of torchvision.models.segmentation, such as tv:fcn_resnet50?weights=fcn.safetensors.

    Raises:
        MissingExtraError: torchvision is not installed.
        InputError: It does not work here, or has no such model.
        WeightsError: The file is missing, a pickle, or of another model.
    """
    models = import_extra("torchvision", "zoo").models
    known = models.list_models(module=models.segmentation)
    if architecture not in known:
        raise InputError(f"tv:{architecture}: torchvision has no such model; {choices(architecture, known)}")
    tensors = _tensors(f"tv:{architecture}", weights)
    auxiliary = any(name.startswith("aux_classifier.") for name in tensors)
    classes = _classes(tensors, "classifier", weights)
    network = models.get_model(
        architecture, weights=None, weights_backbone=None, num_classes=classes, aux_loss=auxiliary or None
    )
    load_module(Path(weights).expanduser(), network)
    return _loaded(network)


def load_smp(place: str, weights: str, channels: int) -> LoadedNetwork:
    """Load a model of segmentation_models_pytorch, such as smp:Unet/resnet34?weights=unet.safetensors.

    Raises:
        MissingExtraError: segmentation_models_pytorch is not installed.
        InputError: It does not work here, or has no such model.
        WeightsError: The file is missing, a pickle, or of another model.
    """
    architecture, _, encoder = place.partition("/")
    if not encoder:
        raise InputError(f"smp:{place}: write smp:ARCH/ENCODER, such as smp:Unet/resnet34")
    library = import_extra("segmentation_models_pytorch", "zoo")
    classes = _classes(_tensors(f"smp:{place}", weights), "segmentation_head", weights)

    def build() -> nn.Module:
        network: nn.Module = library.create_model(
            architecture, encoder, encoder_weights=None, in_channels=channels, classes=classes
        )
        return network

    network = _built(f"smp:{place}", build)
    load_module(Path(weights).expanduser(), network)
    return _loaded(network)


def _tensors(spec: str, weights: str) -> Mapping[str, Tensor]:
    if not weights:
        raise InputError(f"{spec} needs the weights of your model: {spec}?weights=FILE.safetensors")
    return load_tensors(Path(weights).expanduser())[0]


def _classes(tensors: Mapping[str, Tensor], head: str, weights: str) -> int:
    """The number of classes that a head gives: the size of its last bias."""
    biases = sorted(name for name in tensors if name.startswith(f"{head}.") and name.endswith(".bias"))
    if not biases:
        raise WeightsError(f"{weights} has no weights of a {head}; give the state dict of the whole model")
    return tensors[biases[-1]].numel()


def _built(spec: str, build: Callable[[], nn.Module]) -> nn.Module:
    try:
        return build()
    except Exception as error:  # KeyError for an encoder, RuntimeError for an architecture, ...
        raise InputError(f"{spec} cannot be built: {' '.join(str(error).split())}") from error


def _loaded(network: nn.Module) -> LoadedNetwork:
    return LoadedNetwork(network, mean=IMAGENET_MEAN, std=IMAGENET_STD)
