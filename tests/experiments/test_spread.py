from __future__ import annotations

import math

import numpy as np
import pytest

from synthcp.experiments.spread import Spread, markdown


def test_mean_and_deviation_are_numpys() -> None:
    spread = Spread((0.1, 0.25, 0.4))
    assert spread.mean == pytest.approx(np.mean([0.1, 0.25, 0.4]))
    assert spread.deviation == pytest.approx(np.std([0.1, 0.25, 0.4], ddof=1))
    assert str(spread) == "25.0 ± 15.0"


def test_one_seed_has_no_spread_and_what_is_undefined_no_mean() -> None:
    assert str(Spread((0.5,))) == "50.0" and math.isnan(Spread((0.5,)).deviation)
    assert str(Spread((0.5, math.nan))) == "-" and math.isnan(Spread(()).mean)


def test_a_table() -> None:
    assert markdown(["a", "b"], [["x", "1"]]).splitlines() == ["| a | b |", "| --- | ---: |", "| x | 1 |"]
