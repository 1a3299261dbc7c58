"""One image of the report: its pictures as data URIs, its numbers, and its classes from the worst to the best."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthcp.records import Classes
from synthcp.report.objects import UnknownObject, unknown_objects
from synthcp.report.outputs import RunSettings
from synthcp.report.planes import PANEL
from synthcp.report.rows import Row
from synthcp.report.views import VIEWS, View, open_map, open_view, overlaid, shrink

WIDTH, WIDTH_OF_PLANES = 640, 3 * PANEL
STEPS = 100


@dataclass(frozen=True)
class Picture:
    """A view of an image and its data URI."""

    view: View
    uri: str


@dataclass(frozen=True)
class ClassQuality:
    """Predicted and true quality of a class, in [0, 1], NaN where undefined or unknown; colour as #rrggbb.

    The interval holds the true quality as promised; None without a calibration.
    """

    name: str
    color: str
    predicted: float
    true: float
    interval: tuple[float, float] | None = None

    @property
    def difference(self) -> float:
        """Predicted minus true."""
        return self.predicted - self.true


@dataclass(frozen=True)
class Card:
    """What the report shows of one image.

    Attributes:
        row: Its numbers.
        pictures: The views that the folder has.
        size: Width and height of the pictures.
        error_levels: The error map as grey PNG, level / 255, as a data URI; empty without an error map.
        flagged: Share of pixels whose error probability is above step / STEPS, for every step; empty likewise, and of a
            volume, of which three planes do not tell it.
        qualities: The classes of the prediction and the truth, or all structures of a volume, worst predicted quality
            first.
        objects: Those that look unknown, as many as the report shows; empty without an error map, which tells the size.
        annotate: Its rank, from 1, among the images to annotate; None when it was not chosen.
    """

    row: Row
    pictures: tuple[Picture, ...]
    size: tuple[int, int]
    error_levels: str
    flagged: tuple[float, ...]
    qualities: tuple[ClassQuality, ...]
    objects: tuple[UnknownObject, ...]
    annotate: int | None = None


def card_of(out: Path, row: Row, settings: RunSettings, annotate: int | None = None) -> Card:
    """The card of a row; raises InputError when the id leads out of the folder or a map is not a picture."""
    width = WIDTH_OF_PLANES if settings.has_volumes else WIDTH
    background = settings.classes.background
    opened = [(view, open_view(out, row.id, view, width, background)) for view in VIEWS]
    known = [(view, picture) for view, picture in opened if picture is not None]
    error = open_map(out, row.id, "error_16bit")
    levels = None if error is None else np.asarray(error, dtype=np.uint16)
    return Card(
        row=row,
        pictures=tuple(
            Picture(view, webp(picture, view.flat and not overlaid(view, background))) for view, picture in known
        ),
        size=known[0][1].size if known else (0, 0),
        error_levels="" if levels is None else _grey_png(levels, width),
        flagged=() if levels is None or settings.has_volumes else _flagged(levels),
        qualities=_qualities(row, settings.classes, _shown(out, row, settings)),
        objects=() if levels is None else unknown_objects(row.regions or (), levels.shape),
        annotate=annotate,
    )


def hex_color(color: tuple[int, int, int]) -> str:
    """#rrggbb of a colour with parts in 0-255."""
    red, green, blue = color
    return f"#{red:02x}{green:02x}{blue:02x}"


def _shown(out: Path, row: Row, settings: RunSettings) -> set[str]:
    """Names of the classes in the prediction and in the truth; of a volume, where each is judged, the structures."""
    classes = settings.classes
    if settings.has_volumes:
        return set(classes.structures)
    prediction = open_map(out, row.id, "prediction")
    true = {name for name, value in row.true_class_quality.items() if not math.isnan(value)}
    if prediction is None:
        return true | {name for name, value in row.class_quality.items() if not math.isnan(value)}
    return true | {classes.names[index] for index in np.unique(np.asarray(prediction)) if index < len(classes)}


def _qualities(row: Row, classes: Classes, shown: set[str]) -> tuple[ClassQuality, ...]:
    qualities = [
        ClassQuality(
            name,
            hex_color(color),
            row.class_quality.get(name, math.nan),
            row.true_class_quality.get(name, math.nan),
            row.intervals.get(name),
        )
        for name, color in zip(classes.names, classes.colors, strict=True)
        if name in shown
    ]
    return tuple(sorted(qualities, key=lambda quality: (math.isnan(quality.predicted), quality.predicted)))


def _flagged(levels: NDArray[np.uint16]) -> tuple[float, ...]:
    at_most = np.cumsum(np.bincount(levels.ravel(), minlength=65536)) / levels.size
    steps = np.arange(STEPS + 1) * 65535 // STEPS
    return tuple(round(float(1 - at_most[step]), 5) for step in steps)


def _grey_png(levels: NDArray[np.uint16], width: int) -> str:
    picture = Image.fromarray((levels / 257).round().astype(np.uint8))
    return _data_uri(shrink(picture, width, Image.Resampling.BOX), "PNG", optimize=True)


def webp(picture: Image.Image, flat: bool) -> str:
    """Few flat colours are smaller, and keep their edges, without loss."""
    return _data_uri(picture, "WEBP", lossless=flat, quality=80)


def _data_uri(picture: Image.Image, kind: str, **options: bool | int) -> str:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
