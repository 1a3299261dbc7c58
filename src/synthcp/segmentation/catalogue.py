"""The segmenters that are fitted here, one line each; none is imported before it is built, for torch comes with it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    """

    place: str
    layers: int


SEGMENTERS: dict[str, BuiltIn] = {
    "deeplab": BuiltIn("synthcp.segmentation.deeplab:deeplab", layers=4),
    "fcn8": BuiltIn("synthcp.segmentation.fcn8:fcn8", layers=4),
    "pspnet": BuiltIn("synthcp.segmentation.pspnet:pspnet", layers=6),
    "resnet": BuiltIn("synthcp.segmentation.pspnet:resnet", layers=5),
    "unet": BuiltIn("synthcp.segmentation.unet:unet", layers=5),
    "ahnet": BuiltIn("synthcp.segmentation.ahnet:ahnet", layers=5),
}


def default_model(spatial_dims: SpatialDims) -> str:
    """Return the segmenter that is fitted when none is named: DeepLab to images, a U-Net to volumes."""
    return "unet" if spatial_dims == 3 else BUILT_IN


def new_segmenter(name: str, shape: SegmenterShape) -> Segmenter:
    """Return one of SEGMENTERS with fresh weights."""
    build: Callable[[SegmenterShape], Segmenter] = pkgutil.resolve_name(SEGMENTERS[name].place)
    return build(shape)
