"""One image of the report: links to its pictures, its numbers, and its classes from the worst to the best."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthcp.errors import DataError
from synthcp.records import AnomalousRegion, Classes
from synthcp.report.glance import Glance, flagged_shares, labels_in
from synthcp.report.outputs import RunSettings, map_path, write_picture
from synthcp.report.pictures import overlay, picture_size, read_picture, true_error_picture
from synthcp.report.planes import PANEL
from synthcp.report.rows import ResultRow

WIDTH, WIDTH_OF_PLANES = 640, 3 * PANEL
FILES = "report_files"
"""Folder beside the page, of pictures that are drawn for it."""
OBJECTS = 10
"""Unknown objects that are shown of an image; more boxes hide the picture, and regions.csv has them all."""


@dataclass(frozen=True)
class MapView:
    """One way to look at an image.

    Attributes:
        key: The kind of map, or "true_errors", which is drawn from prediction and truth.
        label: Name on a button.
        caption: What it shows.
        flat: Whether the colours stand for labels, and must not be mixed.
    """

    key: str
    label: str
    caption: str
    flat: bool = False


VIEWS = (
    MapView("image", "Image", "marked: probability of error above the threshold"),
    MapView("prediction", "Prediction", "the class of each pixel as the segmenter says", flat=True),
    MapView("synthesis", "Synthesis", "how the image would look if the prediction were right"),
    MapView("error", "Error map", "probability that the prediction is wrong"),
    MapView("anomaly", "Anomaly map", "how unknown the object looks"),
    MapView("truth", "Ground truth", "the true class of each pixel", flat=True),
    MapView("true_errors", "True errors", "bright where the prediction is wrong", flat=True),
    MapView("unknown", "True unknowns", "white on objects of no known class", flat=True),
)


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


@dataclass(frozen=True)
class UnknownObject:
    """A region of unknown pixels.

    Attributes:
        number: Its number in regions.csv, from 1.
        region: What is known of it.
        place: Left, top, width and height of its box, in percent of the picture's sides; empty in a volume, where a box
            has no place in three planes.
    """

    number: int
    region: AnomalousRegion
    place: tuple[float, ...]


@dataclass(frozen=True)
class Card:
    """What the report shows of one image.

    Attributes:
        row: Its numbers.
        pictures: Links to the views that the folder has, relative to it.
        size: Width and height of the pictures.
        error_levels: Link to the error map as grey PNG; empty without an error map.
        flagged: Share of pixels whose error probability is above step / STEPS, for every step; empty likewise, and of a
            volume, of which three planes do not tell it.
        qualities: The classes of the prediction and the truth, or all structures of a volume, worst predicted quality
            first.
        objects: Those that look unknown, as many as the report shows; empty without an error map, which tells the size.
        annotate: Its rank, from 1, among the images to annotate; None when it was not chosen.
    """

    row: ResultRow
    pictures: dict[MapView, str]
    size: tuple[int, int]
    error_levels: str
    flagged: tuple[float, ...]
    qualities: tuple[ClassQuality, ...]
    objects: tuple[UnknownObject, ...]
    annotate: int | None = None


def card_of(
    out: Path, row: ResultRow, settings: RunSettings, annotate: int | None = None, glance: Glance | None = None
) -> Card:
    """The card of a row; a view that no file of maps/ shows is drawn into report_files/.

    Without a glance at its maps from when they were written, their files are read.

    Raises:
        InputError: The id leads out of the folder, a map is not a picture, or report_files/ cannot be written.
    """
    width = WIDTH_OF_PLANES if settings.has_volumes else WIDTH
    background = settings.classes.background
    found = {view: _view_path(out, row.id, view, width, background) for view in VIEWS}
    files = {view: path for view, path in found.items() if path is not None}
    error = map_path(out, row.id, "error_16bit")
    if glance is None:
        glance = _glance(out, row, list(files.values()))
    has_levels = bool(glance.flagged)
    return Card(
        row=row,
        pictures={view: link(out, path) for view, path in files.items()},
        size=glance.size,
        error_levels=link(out, error) if has_levels else "",
        flagged=() if settings.has_volumes else glance.flagged,
        qualities=_qualities(row, settings.classes, _shown(row, settings, glance.labels)),
        objects=unknown_objects(row.regions or (), glance.error_size) if has_levels else (),
        annotate=annotate,
    )


def _glance(out: Path, row: ResultRow, files: Sequence[Path]) -> Glance:
    """What there is to see in the files of an image; of a file that is not there, nothing."""
    error, prediction = map_path(out, row.id, "error_16bit"), _open_map(out, row.id, "prediction")
    sizes = [picture_size(path) for path in files]
    levels = _levels(error) if error.is_file() else np.zeros((0, 0), np.uint16)
    return Glance(
        size=sizes[0] if sizes else (0, 0),
        labels=frozenset() if prediction is None else labels_in(prediction),
        error_size=(levels.shape[0], levels.shape[1]),
        flagged=flagged_shares(levels) if levels.size else (),
    )


@dataclass(frozen=True)
class Line:
    """What the report tells of an image without a card: its numbers, and links to its maps by their names."""

    row: ResultRow
    links: dict[str, str]
    annotate: int | None = None


def line_of(out: Path, row: ResultRow, settings: RunSettings, annotate: int | None = None) -> Line:
    """The line of a row; raises InputError when the id leads out of the folder. No file is looked at."""
    kinds = {"image": "image", "error map": "error"} if settings.maps == "png" else {}
    return Line(row, {name: link(out, map_path(out, row.id, kind)) for name, kind in kinds.items()}, annotate)


def link(out: Path, path: Path) -> str:
    """A file of the output folder as the page names it: relative, and of letters that every URL may have."""
    return quote(os.fsencode(path.relative_to(out)))


def _view_path(out: Path, image_id: str, view: MapView, width: int, background: int | None) -> Path | None:
    """The file that shows a view; None when the folder does not have it."""
    lies_there = view.key != "true_errors" and not _overlaid(view, background)
    if lies_there:
        path = map_path(out, image_id, view.key)
        return path if path.is_file() else None
    picture = open_view(out, image_id, view, width, background)
    if picture is None:
        return None
    path = out / FILES / f"{image_id}_{view.key}.png"
    write_picture(path, picture)
    return path


def open_view(out: Path, image_id: str, view: MapView, width: int, background: int | None = None) -> Image.Image | None:
    """The picture, at most `width` wide, in RGB; None when the folder does not have it.

    Where the label is that of the background, the image shows in place of a colour, and behind those of the others.

    Raises:
        InputError: The id leads out of the folder, or a file is not a picture.
    """
    picture = _true_errors(out, image_id) if view.key == "true_errors" else _open_map(out, image_id, view.key)
    if picture is None:
        return None
    image = _open_map(out, image_id, "image") if _overlaid(view, background) else None
    if image is not None and background is not None:
        picture = overlay(image, picture, background)
    return _shrink(picture.convert("RGB"), width, Image.Resampling.NEAREST if view.flat else Image.Resampling.LANCZOS)


def unknown_objects(regions: Sequence[AnomalousRegion], size: tuple[int, ...]) -> tuple[UnknownObject, ...]:
    """Return the first regions of an image whose maps have this size (H, W), with boxes that fit any picture of it."""
    return tuple(
        UnknownObject(number, region, _place(region.box, size) if len(region.box) == 2 else ())
        for number, region in enumerate(regions[:OBJECTS], start=1)
    )


def hex_color(color: tuple[int, int, int]) -> str:
    """#rrggbb of a colour with parts in 0-255."""
    red, green, blue = color
    return f"#{red:02x}{green:02x}{blue:02x}"


def _overlaid(view: MapView, background: int | None) -> bool:
    """Whether a view shows labels over the image: those of classes of which one is the background."""
    return view.key in ("prediction", "truth") and background is not None


def _open_map(out: Path, image_id: str, kind: str) -> Image.Image | None:
    """The picture as it lies in maps/, or None."""
    path = map_path(out, image_id, kind)
    return read_picture(path) if path.is_file() else None


def _true_errors(out: Path, image_id: str) -> Image.Image | None:
    prediction, truth = _open_map(out, image_id, "prediction"), _open_map(out, image_id, "truth")
    return true_error_picture(prediction, truth) if prediction and truth else None


def _shrink(picture: Image.Image, width: int, resampling: Image.Resampling) -> Image.Image:
    if picture.width <= width:
        return picture
    return picture.resize((width, max(1, round(picture.height * width / picture.width))), resampling)


def _place(box: tuple[tuple[int, int], ...], size: tuple[int, ...]) -> tuple[float, ...]:
    (top, bottom), (left, right) = box
    down, across = 100 / size[0], 100 / size[1]
    return left * across, top * down, (right - left) * across, (bottom - top) * down


def _shown(row: ResultRow, settings: RunSettings, labels: Collection[int]) -> set[str]:
    """Names of the classes in the prediction and in the truth; of a volume, where each is judged, the structures."""
    classes = settings.classes
    if settings.has_volumes:
        return set(classes.structures)
    true = {name for name, value in row.true_class_quality.items() if not math.isnan(value)}
    if not labels:
        return true | {name for name, value in row.class_quality.items() if not math.isnan(value)}
    return true | {classes.names[label] for label in labels if label < len(classes)}


def _qualities(row: ResultRow, classes: Classes, shown: set[str]) -> tuple[ClassQuality, ...]:
    qualities = []
    for name, color in zip(classes.names, classes.colors, strict=True):
        if name in shown:
            predicted, true = (part.get(name, math.nan) for part in (row.class_quality, row.true_class_quality))
            qualities.append(ClassQuality(name, hex_color(color), predicted, true, row.intervals.get(name)))
    return tuple(sorted(qualities, key=lambda quality: (math.isnan(quality.predicted), quality.predicted)))


def _levels(path: Path) -> NDArray[np.uint16]:
    """A 16-bit grey picture, shape (H, W)."""
    picture = read_picture(path)
    if not picture.mode.startswith("I"):
        raise DataError(f"{path} has pixels of mode {picture.mode}, not 16-bit grey; write the output folder again")
    return np.asarray(picture).astype(np.uint16)
