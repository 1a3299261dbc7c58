"""Published weights of a trunk: from a file, or from the library that publishes them, where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from synthcp.errors import InputError, SynthCPError, WeightsError
from synthcp.nn.catalogue import new_trunk
from synthcp.nn.trunk import Trunk, TrunkShape
from synthcp.system.extras import import_extra
from synthcp.system.files import load_tensors
from synthcp.system.spec import path_of

HUB = "hub"
"""Stands for the library that publishes the weights, in place of a file."""
_AT_TIMM = {"efficientnet_lite0": "tf_efficientnet_lite0"}
"""Trunks of our own whose weights timm publishes; those of all others are torchvision's."""


def published_weights(source: str | Path, trunk: str) -> Mapping[str, Tensor]:
    """Read the published weights of a trunk.

    Args:
        source: A file (safetensors), or "hub".
        trunk: Name of the trunk, by which the hub knows it.

    Raises:
        WeightsError: The file is missing or no safetensors file.
        MissingExtraError: The library that publishes the weights is not installed.
        InputError: It does not hand them out, as without a network, or the trunk has no name.
    """
    if str(source) != HUB:
        return load_tensors(path_of(source))[0]
    if not trunk:
        raise InputError("weights 'hub' are those of a trunk by its name; name the trunk, such as resnet50")
    try:
        return _from_hub(trunk)
    except SynthCPError:
        raise
    except Exception as error:  # without a network, each library fails in its own way
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"the hub has no weights of {trunk} ({told}); give a safetensors file instead") from error


def _from_hub(trunk: str) -> Mapping[str, Tensor]:
    library, _, inner = trunk.partition(":")
    name = inner if library == "timm" else _AT_TIMM.get(trunk)
    if name:
        published: Mapping[str, Tensor] = import_extra("timm", "zoo").create_model(name, pretrained=True).state_dict()
        return published
    default = import_extra("torchvision", "zoo").models.get_model_weights(trunk).DEFAULT
    handed: Mapping[str, Tensor] = default.get_state_dict(progress=False)
    return handed


def load_published(trunk: Trunk, source: str | Path, name: str) -> None:
    """Load published weights into a trunk; errors as published_weights, and WeightsError if they do not fit it."""
    weights = published_weights(source, name)
    try:
        trunk.load_weights(weights)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error


def published_trunk(name: str, shape: TrunkShape, source: str | Path) -> Trunk:
    """Return a trunk with published weights; errors as new_trunk and load_published."""
    trunk = new_trunk(name, shape)
    load_published(trunk, source, name)
    return trunk
