"""Unknown objects in the report: a box over the picture and a line below it for each region of unknown pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from synthcp.records import AnomalousRegion

SHOWN = 10
"""Of an image; more boxes hide the picture, and regions.csv has them all."""


@dataclass(frozen=True)
class UnknownObject:
    """A region of unknown pixels, and where its box lies.

    Attributes:
        number: Its number in regions.csv, from 1.
        region: What is known of it.
        left: Of the box, in percent of the picture's width.
        top: Of the box, in percent of the picture's height.
        width: Of the box, in percent of the picture's width.
        height: Of the box, in percent of the picture's height.
    """

    number: int
    region: AnomalousRegion
    left: float
    top: float
    width: float
    height: float


def unknown_objects(regions: Sequence[AnomalousRegion], size: tuple[int, ...]) -> tuple[UnknownObject, ...]:
    """Return the first regions of an image whose maps have this size (H, W), with boxes that fit any picture of it."""
    return tuple(_object(number, region, size) for number, region in enumerate(regions[:SHOWN], start=1))


def _object(number: int, region: AnomalousRegion, size: tuple[int, ...]) -> UnknownObject:
    (top, bottom), (left, right) = region.box
    down, across = 100 / size[0], 100 / size[1]
    return UnknownObject(number, region, left * across, top * down, (right - left) * across, (bottom - top) * down)
