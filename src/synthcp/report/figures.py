"""Figures for documents and reports: predicted against true quality, risk and coverage, and strips of pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from synthcp.errors import shown
from synthcp.metrics.regression import regression_scores
from synthcp.metrics.risk import reliability, risk_coverage
from synthcp.records import Measure
from synthcp.system.files import replace_whole

Pairs = Sequence[tuple[float, float]]
Floats = NDArray[np.float64]
_POINTS = "#3b7dd8"
_INK = "#4a4a4b"  # in SVG it becomes currentColor, the text colour of the page
_MOST_MARKS = 200
"""Points that a plot of an SVG draws each as a mark; more are one picture, whose size does not grow with them."""
_GAP, _HEADER = 6, 26


def quality_scatter(class_quality: Mapping[str, Pairs], measure: Measure = "IoU", most_columns: int = 4) -> Figure:
    """Predicted against true quality, one point per image, one plot per class with its Pearson correlation.

    Args:
        class_quality: Per class name (true, predicted) pairs, as in `Results`; classes without a pair are left out.
        measure: Of the quality.
        most_columns: Plots beside each other.
    """
    known = {name: pairs for name, pairs in class_quality.items() if pairs}
    columns = max(1, min(most_columns, len(known)))
    rows = max(1, math.ceil(len(known) / columns))
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.12)  # in inches, so that titles of two lines fit
    figure = Figure(figsize=(2.6 * columns, 2.8 * rows), layout=layout)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(known) :]:
        axes.set_axis_off()
    for axes, (name, pairs) in zip(grid.flat, known.items(), strict=False):
        _scatter(axes, name, pairs)
    figure.supxlabel(f"True {measure}", fontsize=9, color=_INK)
    figure.supylabel(f"Predicted {measure}", fontsize=9, color=_INK)
    return figure


def risk_figure(predicted: Floats, true: Floats, coverage: float | None = None, measure: Measure = "IoU") -> Figure:
    """Risk-coverage curve and reliability diagram of predicted image quality.

    Args:
        predicted: Quality of the images, shape (N,), in [0, 1].
        true: shape (N,).
        coverage: Share of images that a calibrated rule accepts; it is marked.
        measure: Of the quality.
    """
    figure = Figure(figsize=(8.0, 3.4), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    left, right = figure.subplots(1, 2)
    _draw_risk(left, 1 - true, predicted, coverage)
    left.set_ylabel(f"Risk: mean of 1 - {measure}")
    _draw_reliability(right, predicted, true)
    return figure


def to_svg(figure: Figure) -> str:
    """The figure as an <svg> element that takes its text colour from the page around it."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "synthcp"}):
        figure.savefig(text, format="svg", dpi=144, transparent=True, metadata=nothing)
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")


def save_figure(path: Path, figure: Figure) -> None:
    """Writes the figure as a picture, in the format of the suffix; raises InputError when it cannot be written."""
    with replace_whole(path) as temporary:
        figure.savefig(temporary, dpi=150, facecolor="white")


def grid(headings: Sequence[str], rows: Sequence[Sequence[Image.Image]], width: int) -> Image.Image:
    """Pictures of one width in rows, under their headings.

    Args:
        headings: One for each column.
        rows: Of pictures, one for each column; those of a row have one height.
        width: Of each picture, in pixels.
    """
    lines = [[_heading(heading, width) for heading in headings], *rows]
    heights = [max(tile.height for tile in line) for line in lines]
    size = len(headings) * (width + _GAP) - _GAP, sum(heights) + _GAP * len(rows)
    whole, top = Image.new("RGB", size, "white"), 0
    for line, height in zip(lines, heights, strict=True):
        for column, tile in enumerate(line):
            whole.paste(tile, (column * (width + _GAP), top))
        top += height + _GAP
    return whole


def _scatter(axes: Axes, name: str, pairs: Pairs) -> None:
    true, predicted = np.array(pairs, dtype=np.float64).T
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.6)
    many = len(pairs) > _MOST_MARKS
    axes.scatter(true, predicted, s=16, color=_POINTS, alpha=0.65, linewidths=0, rasterized=many)
    pearson = regression_scores(true, predicted).pearson
    correlation = "undefined" if math.isnan(pearson) else f"{pearson:.2f}"
    axes.set_title(f"{shown(name)}\nPearson {correlation}", fontsize=9, color=_INK, parse_math=False)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_box_aspect(1)
    _plain(axes)


def _draw_risk(axes: Axes, losses: Floats, predicted: Floats, coverage: float | None) -> None:
    curves = {"best order": -losses, "no order": np.zeros(len(losses)), "predicted order": predicted}
    for (name, quality), style in zip(curves.items(), (":", "--", "-"), strict=True):
        curve = risk_coverage(quality, losses)
        color = _POINTS if quality is predicted else _INK
        axes.plot(curve.coverage, curve.risk, color=color, linewidth=1.4, linestyle=style, label=name)
    if coverage is not None:
        axes.axvline(coverage, color=_POINTS, linewidth=0.8, alpha=0.6, label="accepted")
    axes.set(xlim=(0, 1.02), xlabel="Coverage: share accepted")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK)
    _plain(axes)


def _draw_reliability(axes: Axes, predicted: Floats, true: Floats) -> None:
    bins = [part for part in reliability(predicted, true) if part.predictions]
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.6)
    sizes = [20 + 180 * part.predictions / len(true) for part in bins]
    means = [part.predicted for part in bins], [part.true for part in bins]
    axes.plot(*means, color=_POINTS, linewidth=1.0, alpha=0.65)
    axes.scatter(*means, s=sizes, color=_POINTS, alpha=0.65, linewidths=0)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="Predicted quality", ylabel="True quality")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.tick_params(colors=_INK, labelsize=8, length=2)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=_INK, fontsize=9)
    for side, spine in axes.spines.items():
        spine.set(color=_INK, linewidth=0.6, visible=side in ("left", "bottom"))


def _heading(text: str, width: int) -> Image.Image:
    heading = Image.new("RGB", (width, _HEADER), "white")
    ImageDraw.Draw(heading).text((width / 2, _HEADER / 2), text, "#222", ImageFont.load_default(14), anchor="mm")
    return heading
