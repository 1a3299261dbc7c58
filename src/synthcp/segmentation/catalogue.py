"""The segmenters that are fitted here, one line each; none is imported before it is built, for torch comes with it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from synthcp.errors import InputError
from synthcp.nn.catalogue import check_trunk

if TYPE_CHECKING:
    from synthcp.nn.spatial import SpatialDims
    from synthcp.segmentation.base import Segmenter, SegmenterShape

BUILT_IN = "deeplab"
"""The segmenter of images, and of our own beside a model that somebody brought."""


@dataclass(frozen=True)
class BuiltIn:
    """A segmenter that is fitted here.

    Attributes:
        place: The function that builds it from a SegmenterShape, MODULE:FUNCTION.
        layers: Number of feature maps that it shows.
        trunk: Whether its trunk can be chosen: "any" of nn.catalogue.TRUNKS, from which F's encoder may start then, or
            one of "vgg"'s.
    """

    place: str
    layers: int
    trunk: Literal["", "any", "vgg"] = ""


SEGMENTERS: dict[str, BuiltIn] = {
    "deeplab": BuiltIn("synthcp.segmentation.deeplab:deeplab", layers=4, trunk="any"),
    "fcn8": BuiltIn("synthcp.segmentation.fcn8:fcn8", layers=4, trunk="vgg"),
    "pspnet": BuiltIn("synthcp.segmentation.pspnet:pspnet", layers=6, trunk="any"),
    "resnet": BuiltIn("synthcp.segmentation.pspnet:resnet", layers=5, trunk="any"),
    "unet": BuiltIn("synthcp.segmentation.unet:unet", layers=5),
    "ahnet": BuiltIn("synthcp.segmentation.ahnet:ahnet", layers=5),
}


def default_model(spatial_dims: SpatialDims) -> str:
    """Return the segmenter that is fitted when none is named: DeepLab to images, a U-Net to volumes."""
    return "unet" if spatial_dims == 3 else BUILT_IN


def check_trunk_of(name: str, trunk: str) -> None:
    """Refuse a trunk that one of SEGMENTERS cannot have.

    Raises:
        InputError: There is no such trunk, or the segmenter takes none or another kind.
    """
    taken = SEGMENTERS[name].trunk
    check_trunk(trunk)
    if not taken:
        able = ", ".join(other for other, built_in in SEGMENTERS.items() if built_in.trunk)
        raise InputError(f"{name} has no trunk to choose; leave {trunk} out, or fit one of {able}")
    if taken != "any" and not trunk.startswith(taken):
        raise InputError(f"{name} is built on vgg16 or vgg19, not on {trunk}; name one of these, or fit deeplab")


def new_segmenter(name: str, shape: SegmenterShape) -> Segmenter:
    """Return one of SEGMENTERS with fresh weights."""
    build: Callable[[SegmenterShape], Segmenter] = pkgutil.resolve_name(SEGMENTERS[name].place)
    return build(shape)
