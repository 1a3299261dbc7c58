"""What the pages show of scores that are known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthcp.evaluation.results import DetectorResult, Results, Row
from synthcp.experiments import figures
from synthcp.experiments.cases import Cases
from synthcp.experiments.page import Spread, markdown, page_of
from synthcp.experiments.runs import SEEN
from synthcp.experiments.table import Pictured, SeedResult, Table
from synthcp.experiments.table1 import TABLE1
from synthcp.experiments.table2 import PAPER, PICTURED, TABLE2
from synthcp.experiments.table3 import TABLE3
from synthcp.metrics.protocols import AnomalyScores
from synthcp.metrics.ranking import RankingScores
from synthcp.metrics.regression import RegressionScores

IMAGE_LEVEL = ["10.2", "20.0", "43.0", "46.0"]
"""Of a row at 0.41."""


def test_mean_and_deviation_are_numpys() -> None:
    spread = Spread((0.1, 0.25, 0.4))
    assert spread.mean == pytest.approx(np.mean([0.1, 0.25, 0.4]))
    assert spread.deviation == pytest.approx(np.std([0.1, 0.25, 0.4], ddof=1))
    assert str(spread) == "25.0 ± 15.0"


def test_one_seed_has_no_spread_and_what_is_undefined_no_mean() -> None:
    assert str(Spread((0.5,))) == "50.0" and math.isnan(Spread((0.5,)).deviation)
    assert str(Spread((0.5, math.nan))) == "-" and math.isnan(Spread(()).mean)


def test_a_markdown_table() -> None:
    assert markdown(["a", "b"], [["x", "1"]]).splitlines() == ["| a | b |", "| --- | ---: |", "| x | 1 |"]


def result(row: Row, level: float) -> DetectorResult:
    pixel = RankingScores(level + 0.1, level, level + 0.3, 0.4, 0.15, 100, 3, 0, 0.35)
    quality = RegressionScores(level / 4, 0.2, 0.2, level + 0.02, level + 0.05, 9, 7)
    return DetectorResult(str(row), pixel, pixel, None if row.raw else quality)


def failures(seed: int) -> SeedResult:
    """One seed whose rows have scores of their own; further heads and generators in the first seed alone."""
    shared = ("MSP", "direct", "SynthCP, untrained G", "SynthCP")
    rows = [Row(label, raw) for label in shared for raw in ((True, False) if label != "MSP" else (False,))]
    found = [result(row, 0.3 + 0.02 * place + 0.01 * seed) for place, row in enumerate(rows)]
    if seed == 0:
        found += [result(Row(label, raw), 0.41) for label in TABLE1.generators.rows for raw in (True, False)]
        found += [result(Row("SynthCP", raw, 2), 0.5) for raw in (True, False)]
    random = np.random.default_rng(seed)
    counts = {name: random.integers(0, 9, (3, 2, 2048)).astype(float) for name in TABLE1.compared}
    quality = {name: random.random((3, 2)) for name in TABLE1.compared if "raw" not in name and name != "MSP"}
    cases = Cases(random.random((3, 2)), np.zeros((3, 2), dtype=bool), counts, quality)
    return SeedResult(Results(tuple(found), 0.32, {}, 3, settings={SEEN: "2"}), cases, {"M": 1.0, "G": 2.5})


def page(table: Table, model: str, seeds: list[SeedResult]) -> str:
    return page_of(replace(table, samples=20), {"some:data": {model: seeds}}, {"commit": "abc"})


def cells(page: str, name: str) -> list[list[str]]:
    """The cells of every row of that name, in the order of the page."""
    lines = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in lines]


def test_table1_shows_ours_the_papers_and_the_difference() -> None:
    text = page(TABLE1, "fcn8", [failures(0), failures(1)])
    pixel, image, per_image, generators = cells(text, "SynthCP")
    assert pixel[:3] == ["42.5 ± 0.7", "55.5", "-13.0"] and pixel[-3:] == ["40.0 ± 0.0", "22.5", "+17.5"]
    assert image[:3] == ["10.6 ± 0.2", "12.7", "-2.1"] and image[6:9] == ["44.5 ± 0.7", "62.5", "-18.0"]
    assert per_image == ["42.5 ± 0.7", "52.5 ± 0.7", "40.0 ± 0.0", "35.0 ± 0.0"]
    other = cells(text, "SynthCP, pix2pixHD")
    assert generators[0] == "42.0" and other == [["41.0", "71.0", "51.0", "40.0", *IMAGE_LEVEL]]
    assert cells(text, "MSP")[0][1] == "50.3" and len(cells(text, "SynthCP minus direct")) == 1
    assert cells(text, "time / M") == [["1.00", "2.50"]] and "| commit | abc |" in text
    conditions = "3 images, 2 seeds; mIoU of M 32.0 ± 0.0; wrong pixels, the AP-Err of chance, 15.0 ± 0.0; 9 classes in"
    assert conditions in text and "2 ids were among those of the fit" in text and "### Heads" not in text


def test_table1_shows_the_spread_of_heads_that_were_fitted_again() -> None:
    table = replace(TABLE1, repeated=replace(TABLE1.repeated, rows={"SynthCP": "synthcp"}, fits=2))
    text = page(table, "deeplab", [failures(0)])
    assert cells(text, "SynthCP")[-1][0] == "46.0 ± 5.7" and cells(text, "SynthCP-raw")[-1][0] == "45.0 ± 7.1"
    assert "2 times in all" in text and "### Other generators" not in text


def test_what_no_row_says_of_quality_is_no_column_of_its_difference() -> None:
    (difference,) = cells(page(TABLE1, "deeplab", [failures(0)]), "SynthCP-raw minus direct-raw")
    assert difference[3:] == ["-", "-"] and all("to" in cell for cell in difference[:3])


def volumes(empty: bool) -> SeedResult:
    true = np.array([[0.5, 1.0], [0.25, 0.0], [1.0, 0.5], [0.75, 0.25]])
    quality = {label: 0.1 * number + true / 2 for number, label in enumerate((*TABLE2.rows, *TABLE2.means))}
    gone = np.array([[False, False], [False, empty], [False, False], [False, False]])
    results = Results((), 0.5, {}, 4, {"head": [], "tail": []}, {SEEN: "2"}, "Dice")
    return SeedResult(results, Cases(true, gone, {}, quality))


@pytest.mark.parametrize("empty", [False, True])
def test_table2_says_what_its_numbers_must_be_read_with(empty: bool) -> None:
    text = page(TABLE2, "unet", [volumes(empty)] * 2)
    first = "4 volumes, 2 seeds; head: true Dice 62.5 ± 0.0, its deviation over the volumes 28.0 ± 0.0; tail: true Dice"
    assert first in text and f"{2 * empty} structures not predicted at all" in text
    assert "2 ids were among those of the fit" in text
    assert ("Without structures that the prediction does not hold" in text) == empty
    assert cells(text, "VAE alarm")[0][-4:] == ["18.6", "13.7", "63.4", "58.5"] and set(PAPER) <= {
        *TABLE2.rows,
        *TABLE2.means,
    }
    assert len(cells(text, "SynthCP + VAE minus VAE alarm")) == 1


@pytest.mark.parametrize("seen", ["0", "3"])
def test_table3_shows_chance_ratios_and_what_its_numbers_must_be_read_with(seen: str) -> None:
    ways = TABLE3.protocols
    rows = [
        DetectorResult(label, anomaly={way: AnomalyScores(0.9, aupr, 0.2, 0.125, 0.25, 64, 2, 1) for way in ways})
        for label, aupr in zip(TABLE3.rows, np.linspace(0.1, 0.4, len(TABLE3.rows)).tolist(), strict=True)
    ]
    none = Cases(np.zeros((0, 2)), np.zeros((0, 2), dtype=bool))
    seeds = [SeedResult(Results(tuple(rows), miou, {}, 3, settings={SEEN: seen}), none) for miou in (0.5, 0.6)]
    text = page(TABLE3, "pspnet", seeds)
    assert "caos: 2 images judged, 1 skipped, 12.50 % of the judged pixels anomalous, 25.0 % void" in text
    assert ("3 ids were among those of the fit" in text) == (seen == "3") and "mIoU of M 55.0 ± 7.1" in text
    assert cells(text, "chance")[0][:3] == ["95.0", "50.0", "12.5"] and cells(text, "chance")[0][-5:] == ["-"] * 5
    assert cells(text, "msp")[0][-5:] == ["1.00", "1.00", "33.7", "87.7", "6.6"]
    assert cells(text, "SynthCP, ours")[0][2] == "40.0 ± 0.0" and cells(text, "SynthCP, ours")[0][-3:] == ["-"] * 3


def test_figure_6_has_a_row_of_plots_for_each_structure_and_says_dice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(figures, "save_figure", lambda _, figure: drawn.append(figure))
    figures.figure6(Pictured(None, {}, None, volumes(False), tmp_path / "figure"), PICTURED)  # type: ignore[arg-type]
    (figure,) = drawn
    titles = [axes.get_title().splitlines()[0] for axes in figure.axes]
    assert titles == [f"{row}: {structure}" for structure in ("head", "tail") for row in PICTURED]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("True Dice", "Predicted Dice")
    offsets = figure.axes[1].collections[0].get_offsets()
    assert np.allclose(offsets[:, 0], [0.5, 0.25, 1.0, 0.75]) and not np.allclose(offsets[:, 0], offsets[:, 1])
