"""tv:ARCH and smp:ARCH/ENCODER, models of torchvision and of segmentation_models_pytorch with weights from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from synthcp.errors import InputError, WeightsError
from synthcp.segmentation.loaded import IMAGENET_MEAN, IMAGENET_STD, LoadedNetwork
from synthcp.system.extras import import_extra
from synthcp.system.files import first_difference, load_tensors, shapes_of
from synthcp.system.spec import choices, path_of


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

    def build(tensors: Mapping[str, Tensor]) -> nn.Module:
        auxiliary = any(name.startswith("aux_classifier.") for name in tensors) or None
        options = {"weights": None, "weights_backbone": None, "aux_loss": auxiliary}
        network: nn.Module = models.get_model(architecture, num_classes=_outputs(tensors, "classifier"), **options)
        return network

    return _loaded(f"tv:{architecture}", weights, build)


def load_smp(place: str, weights: str, channels: int) -> LoadedNetwork:
    """Load a model of segmentation_models_pytorch, such as smp:Unet/resnet34?weights=unet.safetensors.

    Raises:
        MissingExtraError: segmentation_models_pytorch is not installed.
        InputError: It does not work here, or has no such model.
        WeightsError: The file is missing, a pickle, or of another model.
    """
    architecture, _, encoder = place.partition("/")
    if not encoder or ":" in encoder:  # timm asks the hub for what has a colon
        raise InputError(f"smp:{place}: write smp:ARCH/ENCODER, such as smp:Unet/resnet34")
    library = import_extra("segmentation_models_pytorch", "zoo")

    def build(tensors: Mapping[str, Tensor]) -> nn.Module:
        options = {"encoder_weights": None, "in_channels": channels, "classes": _outputs(tensors, "segmentation_head")}
        network: nn.Module = library.create_model(architecture, encoder, **options)
        return network

    return _loaded(f"smp:{place}", weights, build)


def _loaded(spec: str, weights: str, build: Callable[[Mapping[str, Tensor]], nn.Module]) -> LoadedNetwork:
    """Build a network for its weights, and fill it with them."""
    if not weights:
        raise InputError(f"{spec} needs the weights of your model: {spec}?weights=FILE.safetensors")
    tensors, _ = load_tensors(path_of(weights))
    try:
        network = build(tensors)
    except WeightsError as error:
        raise WeightsError(f"{weights} {error}; give the state dict of the whole {spec}") from error
    except Exception as error:  # KeyError for an encoder, RuntimeError for an architecture, ...
        problem = " ".join(str(error).split())
        raise InputError(f"{spec} cannot be built ({problem}); correct the name, or give weights of it") from error
    wrong = first_difference(network, shapes_of(tensors))
    if wrong:
        raise WeightsError(f"{weights} does not fit {spec} (first difference: {wrong}); give its own state dict")
    network.load_state_dict(tensors)
    return LoadedNetwork(network, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _outputs(tensors: Mapping[str, Tensor], head: str) -> int:
    """The number of classes that a head gives: the size of its last bias."""
    biases = sorted(name for name in tensors if name.startswith(f"{head}.") and name.endswith(".bias"))
    if not biases:
        raise WeightsError(f"has no weights of a {head}")
    return tensors[biases[-1]].numel()
