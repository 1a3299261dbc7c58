"""What a card of the report tells of the maps of one image beside showing them."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

STEPS = 100
CARDS = 100
"""How many images the page shows."""


@dataclass(frozen=True)
class Glance:
    """What was seen in maps while they were in memory, so that no file is read for it.

    Attributes:
        size: Width and height of the pictures.
        labels: Of the prediction, those that it holds.
        error_size: Height and width of the error map.
        flagged: Share of pixels whose error probability is above step / STEPS, for every step.
    """

    size: tuple[int, int]
    labels: frozenset[int]
    error_size: tuple[int, int]
    flagged: tuple[float, ...]


class Glances:
    """Those at the worst images, as many as the page shows; a run of any length keeps no more."""

    def __init__(self) -> None:
        self._worst: list[tuple[float, str, Glance]] = []

    def add(self, image_id: str, error_share: float, glance: Glance) -> None:
        """Keep a glance as long as few images are worse."""
        entry = (error_share, image_id, glance)
        if len(self._worst) < CARDS:
            heapq.heappush(self._worst, entry)
        else:
            heapq.heappushpop(self._worst, entry)

    def by_id(self) -> dict[str, Glance]:
        """Return those that were kept."""
        return {image_id: glance for _, image_id, glance in self._worst}


def glance_at(pictures: Mapping[str, Image.Image]) -> Glance:
    """Look at the pictures of an image, by kind."""
    error = np.asarray(pictures["error_16bit"])
    labels = labels_in(pictures["prediction"])
    return Glance(pictures["image"].size, labels, (error.shape[0], error.shape[1]), flagged_shares(error))


def labels_in(prediction: Image.Image) -> frozenset[int]:
    """Return the labels that a palette picture holds."""
    return frozenset(label for label, count in enumerate(prediction.histogram()) if count)


def flagged_shares(levels: NDArray[np.uint16]) -> tuple[float, ...]:
    """Return the share of levels above step / STEPS of 65535, for every step."""
    at_most = np.cumsum(np.bincount(levels.ravel(), minlength=65536)) / levels.size
    steps = np.arange(STEPS + 1) * 65535 // STEPS
    return tuple(round(float(1 - at_most[step]), 5) for step in steps)
