"""The trunks that there are, one line each; none is imported before it is built, for torch comes with it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from synthcp.errors import InputError
from synthcp.system.spec import choices

if TYPE_CHECKING:
    from synthcp.nn.trunk import Trunk, TrunkShape

TRUNKS: dict[str, str] = {
    "resnet18": "synthcp.nn.resnet:resnet18",
    "resnet34": "synthcp.nn.resnet:resnet34",
    "resnet50": "synthcp.nn.resnet:resnet50",
    "resnet101": "synthcp.nn.resnet:resnet101",
    "vgg16": "synthcp.nn.vgg:vgg16",
    "vgg19": "synthcp.nn.vgg:vgg19",
    "efficientnet_lite0": "synthcp.nn.efficientnet:efficientnet_lite0",
    "squeezenet1_0": "synthcp.nn.squeezenet:squeezenet1_0",
}
"""The function that builds each trunk from a TrunkShape, MODULE:FUNCTION."""

OPENED: dict[str, str] = {"timm": "synthcp.nn.timm_trunk:timm_trunk"}
"""Libraries of trunks, such as timm:NAME: the function that builds one from its NAME and a TrunkShape."""

TRUNK_NAMES = (*TRUNKS, *(f"{library}:NAME" for library in OPENED))
"""What may be written for a trunk."""


def check_trunk(name: str) -> None:
    """Refuse a trunk that there is not, without building one.

    Raises:
        InputError: It is none of TRUNKS, nor of a library in OPENED.
    """
    library, _, inner = name.partition(":")
    if name not in TRUNKS and not (library in OPENED and inner and ":" not in inner):  # no hub
        raise InputError(f"trunk {name!r} is unknown; {choices(name, TRUNK_NAMES)}")


def new_trunk(name: str, shape: TrunkShape) -> Trunk:
    """Return a trunk with fresh weights.

    Raises:
        InputError: There is no such trunk, or not of this shape.
        MissingExtraError: The library that has it is not installed.
    """
    check_trunk(name)
    if name in TRUNKS:
        build: Callable[[TrunkShape], Trunk] = pkgutil.resolve_name(TRUNKS[name])
        return build(shape)
    library, _, inner = name.partition(":")
    open_trunk: Callable[[str, TrunkShape], Trunk] = pkgutil.resolve_name(OPENED[library])
    return open_trunk(inner, shape)
