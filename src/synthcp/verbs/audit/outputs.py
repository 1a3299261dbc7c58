"""suspects.csv and audit.html: the ranking for a program, and the worst suspects for the eye, with pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from synthcp.data.transforms import resize, resize_labels
from synthcp.records import Classes, Sample
from synthcp.report.cards import hex_color, link
from synthcp.report.csv_files import TEXT
from synthcp.report.html import environment
from synthcp.report.outputs import write_picture
from synthcp.report.pictures import IGNORED_COLOR, image_picture, label_picture
from synthcp.system.files import save_text
from synthcp.verbs.audit.case import Case
from synthcp.verbs.audit.suspects import Box, Suspect

TABLE, PAGE, FILES = "suspects.csv", "audit.html", "audit_files"
SHOWN = 500
"""How many suspects the page shows; suspects.csv has all of them."""
COLUMNS = ("rank", "id", "score", "given", "suggested", "area", "x0", "y0", "x1", "y1")
_WIDTH = 240
_MARK = (255, 0, 168)
_CONTEXT = 0.6
"""How far a picture reaches beyond the box, as a share of the box's longer side."""
_SMALLEST = 96
"""Shortest side of what a picture shows, in pixels of the image."""


@dataclass(frozen=True)
class Exhibit:
    """A suspect, its rank from 1, and links to its pictures, relative to the page, by what they show."""

    rank: int
    suspect: Suspect
    views: dict[str, str]


def write_table(out: Path, suspects: Sequence[Suspect]) -> None:
    """Write suspects.csv, worst first; boxes are in pixels of the image as it came, x1 and y1 just behind.

    Raises:
        InputError: The folder cannot be written.
    """
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(COLUMNS)
    for rank, suspect in enumerate(suspects, start=1):
        name, *label = map(TEXT.write, (suspect.id, suspect.given, suspect.suggested))
        lines.writerow([rank, name, f"{suspect.score:.6g}", *label, suspect.area, *suspect.box])
    save_text(out / TABLE, text.getvalue())


def write_page(
    out: Path, exhibits: Sequence[Exhibit], *, suspects: int, classes: Classes, images: int, facts: Mapping[str, str]
) -> None:
    """Write audit.html.

    Args:
        out: Folder.
        suspects: How many there are; those without an exhibit are in suspects.csv alone.
        exhibits: Worst first.
        classes: Of the data.
        images: Number of images that were audited.
        facts: Where it comes from, for the end of the page.

    Raises:
        InputError: The folder cannot be written.
    """
    colors = {name: hex_color(color) for name, color in zip(classes.names, classes.colors, strict=True)}
    colors["no label"] = hex_color(IGNORED_COLOR)
    template = environment().get_template("audit.html.j2")
    page = template.render(exhibits=exhibits, suspects=suspects, colors=colors, images=images, facts=facts)
    save_text(out / PAGE, page)


def exhibit(out: Path, rank: int, suspect: Suspect, sample: Sample, case: Case) -> Exhibit:
    """Write the pictures of a suspect: the image, the given and the suggested label, and the synthesis of each.

    Raises:
        InputError: The folder cannot be written.
    """
    assert sample.label_map is not None
    size, classes = tuple(sample.label_map.shape), case.monitor.classes
    disputed, predicted = (resize_labels(part.cpu(), size) for part in (case.disputed, case.predicted))
    pictures = {
        "image": image_picture(sample.image),
        f"given: {suspect.given}": label_picture(sample.label_map, classes),
        "synthesis of the given label": _picture(case.synthesis_of_given, size),
        f"suggested: {suspect.suggested}": label_picture(sample.label_map.where(~disputed, predicted), classes),
        "synthesis of the suggested label": _picture(case.synthesis_of_suggested, size),
    }
    window = window_of(suspect.box, size)
    views = dict[str, str]()
    for number, (name, picture) in enumerate(pictures.items()):
        path = out / FILES / f"{rank}-{number}.png"
        write_picture(path, _cut_out(picture, suspect.box, window))
        views[name] = link(out, path)
    return Exhibit(rank, suspect, views)


def window_of(box: Box, size: Sequence[int]) -> Box:
    """Return what a picture shows around a box: its longer side and more of context, within an image (H, W)."""
    x0, y0, x1, y1 = box
    side = max(_SMALLEST, round((1 + 2 * _CONTEXT) * max(x1 - x0, y1 - y0)))
    (left, right), (top, bottom) = _span(x0, x1, side, size[1]), _span(y0, y1, side, size[0])
    return left, top, right, bottom


def _span(first: int, last: int, side: int, extent: int) -> tuple[int, int]:
    """A stretch of `side` pixels around the middle, moved into the image."""
    side = min(side, extent)
    start = min(max(0, (first + last - side) // 2), extent - side)
    return start, start + side


def _picture(synthesis: Tensor, size: tuple[int, ...]) -> Image.Image:
    return image_picture(resize(synthesis[0].cpu(), size))


def _cut_out(picture: Image.Image, box: Box, window: Box) -> Image.Image:
    """The window of a picture with the box marked; labels keep their colours."""
    flat = picture.mode == "P"
    scale = _WIDTH / (window[2] - window[0])
    size = _WIDTH, max(1, round(scale * (window[3] - window[1])))
    resampling = Image.Resampling.NEAREST if flat else Image.Resampling.BICUBIC
    shown = picture.convert("RGB").crop(window).resize(size, resampling)
    x0, y0, x1, y1 = (round(scale * (edge - window[axis % 2])) for axis, edge in enumerate(box))
    ImageDraw.Draw(shown).rectangle((x0 - 2, y0 - 2, x1 + 1, y1 + 1), outline=_MARK, width=2)
    return shown
