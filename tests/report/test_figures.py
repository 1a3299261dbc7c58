import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcp.metrics.risk import reliability, risk_coverage
from synthcp.report.figures import grid, quality_scatter, risk_figure, save_figure, to_svg

PAIRS = {"road": [(0.1, 0.3), (0.5, 0.4), (0.9, 0.8)], "<b>$x": [(0.25, 0.75)], "empty": []}


def test_points_are_true_across_and_predicted_up() -> None:
    road = quality_scatter(PAIRS).axes[0]
    assert road.collections[0].get_offsets().tolist() == [[0.1, 0.3], [0.5, 0.4], [0.9, 0.8]]


def test_titles_hold_class_and_correlation() -> None:
    road, strange = (axes.get_title() for axes in quality_scatter(PAIRS).axes)
    assert road == f"road\nPearson {np.corrcoef([0.1, 0.5, 0.9], [0.3, 0.4, 0.8])[0, 1]:.2f}"
    assert strange == "<b>$x\nPearson undefined"


def test_svg_is_one_escaped_element_and_always_the_same() -> None:
    svg = to_svg(quality_scatter(PAIRS))
    assert svg == to_svg(quality_scatter(PAIRS))
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "&lt;b&gt;" in svg and "<b>" not in svg
    assert "currentColor" in svg


def test_the_risk_figure_holds_curve_and_reliability() -> None:
    rng = np.random.default_rng(0)
    true = rng.random(50)
    predicted = np.clip(true + 0.1 * rng.standard_normal(50), 0, 1)
    left, right = risk_figure(predicted, true, coverage=0.3).axes
    best, none, ours, accepted = left.lines
    assert ours.get_ydata() == pytest.approx(risk_coverage(predicted, 1 - true).risk)
    assert best.get_ydata() == pytest.approx(np.cumsum(np.sort(1 - true)) / np.arange(1, 51))
    assert none.get_ydata() == pytest.approx([np.mean(1 - true)] * 50)
    assert list(accepted.get_xdata()) == [0.3, 0.3]
    bins = [part for part in reliability(predicted, true) if part.predictions]
    assert right.collections[0].get_offsets().tolist() == [[part.predicted, part.true] for part in bins]
    assert len(risk_figure(predicted, true).axes[0].lines) == 3


def test_figures_are_saved_in_the_format_of_their_name(tmp_path: Path) -> None:
    save_figure(tmp_path / "figures" / "scatter.png", quality_scatter(PAIRS))
    with Image.open(tmp_path / "figures" / "scatter.png") as picture:
        assert picture.format == "PNG"
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_a_grid_has_its_pictures_in_rows_under_headings() -> None:
    rows = [[Image.new("RGB", (80, height), color) for color in ("red", "blue")] for height in (40, 20)]
    pixels = np.asarray(grid(["left", "right"], rows, width=80))
    assert pixels.shape == (26 + 6 + 40 + 6 + 20, 80 + 6 + 80, 3)
    assert (pixels[:26] < 255).any() and (pixels[26:32] == 255).all() and (pixels[72:78] == 255).all()
    for part in (pixels[32:72], pixels[78:]):
        assert (part[:, :80] == (255, 0, 0)).all() and (part[:, 86:] == (0, 0, 255)).all()


def test_many_points_do_not_make_a_large_figure() -> None:
    sizes = [
        len(to_svg(quality_scatter({"road": [(n / count, 0.5) for n in range(count)]}))) for count in (200, 20_000)
    ]
    assert sizes[1] < 1.5 * sizes[0]
