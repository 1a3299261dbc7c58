"""Table 2 on drawn phantoms, from the command line to the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthcp.experiments import quality_cases, volume_tables
from synthcp.experiments.figure6 import figure6
from synthcp.experiments.quality_cases import QualityCases
from synthcp.experiments.volume_tables import ENSEMBLES, PAIRS, PAPER, PICTURED
from synthcp.metrics.bootstrap import bootstrap

SPEC = "phantoms:?count={}&size=24x28x24&split={}"


def cases(empty: bool) -> QualityCases:
    true = [[0.5, 1.0], [0.25, 0.0], [1.0, 0.5], [0.75, 0.25]]
    rows = sorted({*PAPER, *PICTURED, *(name for pair in PAIRS for name in pair)})
    predicted = {name: [[0.1 * number + one / 2 for one in case] for case in true] for number, name in enumerate(rows)}
    gone = [[False, False], [False, empty], [False, False], [False, False]]
    return QualityCases({"data": "x", "seen": "2"}, list("abcd"), ["head", "tail"], true, gone, predicted)


@pytest.mark.parametrize("empty", [False, True])
def test_the_page_says_what_its_numbers_must_be_read_with(empty: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_cases, "bootstrap", partial(bootstrap, samples=20))
    page = volume_tables._page({"some:data": [cases(empty)] * 2}, {"commit": "abc"})
    assert (
        "4 volumes; head: true Dice 62.5 ± 0.0, its deviation over the volumes 28.0 ± 0.0; tail: true Dice 43.8" in page
    )
    assert f"{2 * empty} structures not predicted at all" in page and "2 ids were among those of the fit" in page
    assert ("Without structures that the prediction does not hold" in page) == empty
    row = next(line for line in page.splitlines() if line.startswith("| VAE alarm |"))
    assert row.endswith("| 18.6 | 13.7 | 63.4 | 58.5 |")
    assert "| SynthCP + VAE minus VAE alarm |" in page and "| commit | abc |" in page


@pytest.mark.slow
def test_table2_has_every_row_and_goes_on_where_it_stopped(
    synthcp: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_tables, "commit", lambda: "abc")
    arguments = ("--data", SPEC.format(8, "train"), "--test", SPEC.format(3, "test"), "--scale", "tiny", "--seeds", "1")
    shared = (*arguments, "--out", tmp_path, "--device", "cpu", "--precision", "fp32", "--quiet")
    assert synthcp("reproduce", "table2", *shared).code == 0
    page = (tmp_path / "table2.md").read_text()
    kept = json.loads((tmp_path / "seed0" / "table2-0.json").read_text())
    assert {*PAPER, *ENSEMBLES, "constant", "volume alone", "pairwise Dice"} <= set(kept["predicted"])
    assert all(np.shape(values) == (3, 2) for values in kept["predicted"].values())
    assert all(f"\n| {name} |" in page for name in kept["predicted"])
    assert (tmp_path / "figure6-0.png").exists()
    steps = (tmp_path / "seed0" / "metrics.jsonl").read_text()
    assert synthcp("reproduce", "table2", *shared).code == 0
    assert (tmp_path / "seed0" / "metrics.jsonl").read_text() == steps  # nothing was trained again


def test_figure_6_has_a_row_of_plots_for_each_structure_and_says_dice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr("synthcp.experiments.figure6.save_figure", lambda _, figure: drawn.append(figure))
    figure6(tmp_path / "figure.png", cases(False), PICTURED)
    (figure,) = drawn
    titles = [axes.get_title().splitlines()[0] for axes in figure.axes]
    assert titles == [f"{row}: {structure}" for structure in ("head", "tail") for row in PICTURED]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("True Dice", "Predicted Dice")
    offsets = figure.axes[1].collections[0].get_offsets()
    assert np.allclose(offsets[:, 0], [0.5, 0.25, 1.0, 0.75]) and not np.allclose(offsets[:, 0], offsets[:, 1])
