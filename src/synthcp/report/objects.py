"""Unknown objects in the report: a box over the picture and a line below it for each region of unknown pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from synthcp.records import AnomalousRegion

SHOWN = 10
"""Of an image; more boxes hide the picture, and regions.csv has them all."""


@dataclass(frozen=True)
class Place:
    """Where a box lies in a picture.

    Attributes:
        left: Of the box, in percent of the picture's width.
        top: Of the box, in percent of the picture's height.
        width: Of the box, in percent of the picture's width.
        height: Of the box, in percent of the picture's height.
    """

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class UnknownObject:
    """A region of unknown pixels.

    Attributes:
        number: Its number in regions.csv, from 1.
        region: What is known of it.
        place: Of its box; None in a volume, where a box has no place in three planes.
    """

    number: int
    region: AnomalousRegion
    place: Place | None


def unknown_objects(regions: Sequence[AnomalousRegion], size: tuple[int, ...]) -> tuple[UnknownObject, ...]:
    """Return the first regions of an image whose maps have this size (H, W), with boxes that fit any picture of it."""
    return tuple(
        UnknownObject(number, region, _place(region.box, size) if len(region.box) == 2 else None)
        for number, region in enumerate(regions[:SHOWN], start=1)
    )


def _place(box: tuple[tuple[int, int], ...], size: tuple[int, ...]) -> Place:
    (top, bottom), (left, right) = box
    down, across = 100 / size[0], 100 / size[1]
    return Place(left * across, top * down, (right - left) * across, (bottom - top) * down)
