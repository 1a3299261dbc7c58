import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcp.errors import DataError
from synthcp.metrics.risk import reliability, risk_coverage
from synthcp.report.figures import panel, quality_scatter, risk_figure, save_figure, to_svg
from synthcp.report.pictures import heat_colors

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


def test_the_panel_has_six_pictures_with_the_true_errors_fifth(write_folder: Callable[..., Path]) -> None:
    out = write_folder({"a": 0.2, "b": 0.7})
    panel(out, ["a", "b"], out / "panel.png", width=80)
    with Image.open(out / "panel.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (26 + 6 + 40 + 6 + 40, 6 * 80 + 5 * 6, 3)
    true_errors = pixels[32:72, 4 * 86 : 4 * 86 + 80]
    right, wrong = heat_colors()[0].tolist(), heat_colors()[-1].tolist()
    assert true_errors[10, 10].tolist() == right  # road on road
    assert true_errors[30, 10].tolist() == wrong  # car taken for road
    assert true_errors[30, 70].tolist() == [128, 128, 128]  # not judged


def test_the_panel_leaves_out_what_is_not_known(write_folder: Callable[..., Path]) -> None:
    out = write_folder({"a": 0.2}, truth=False)
    panel(out, ["a"], out / "panel.png", width=80)
    with Image.open(out / "panel.png") as picture:
        assert picture.width == 4 * 80 + 3 * 6


@pytest.mark.parametrize("ids", [[], ["nowhere"]])
def test_a_panel_needs_an_image(write_folder: Callable[..., Path], ids: list[str]) -> None:
    out = write_folder({"a": 0.2})
    with pytest.raises(DataError, match="has no maps"):
        panel(out, ids, out / "panel.png")
