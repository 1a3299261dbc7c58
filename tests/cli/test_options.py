"""Numbers of options: what is out of range is one line that says the range, before any work."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from synthcp.cli.options import tell_unused
from synthcp.records import Classes
from synthcp.segmentation.saved import SavedPredictions
from synthcp.verbs.score import parse_shard

SCORE = ("score", "images", "--monitor", "run", "--out", "out")
FIT = ("fit", "--data", "scenes:?count=8", "--out", "out")
HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((*SCORE, "--threads", 10**14), "'100000000000000' is no whole number from 1 to 1024"),
        ((*SCORE, "--threads", 0), "'0' is no whole number from 1 to 1024"),
        ((*SCORE, "--threads", HUGE), "9...' is no whole number from 1 to 1024"),
        ((*SCORE, "--threads", "two"), "'two' is no whole number from 1 to 1024"),
        ((*SCORE, "--budget", -1), "'-1' is no whole number from 1 to 1000000"),
        ((*SCORE, "--budget", 10**7), "'10000000' is no whole number from 1 to 1000000"),
        ((*SCORE, "--budget", "1e3"), "'1e3' is no whole number"),
        ((*FIT, "--seed", 2**32), "'4294967296' is no whole number from 0 to 4294967295"),
        ((*FIT, "--seed", HUGE), "9...' is no whole number from 0 to 4294967295"),
        ((*FIT, "--imperfect", f"kfold:{HUGE}"), "a whole number from 0 to 10000"),
        (("audit", *FIT[1:], "--monitor", "run", "--most", 0), "'0' is no whole number from 1 to 1000000"),
        (("reproduce", "table3", *FIT[1:], "--seeds", 10**14), "is no whole number from 1 to 1000"),
        (("reproduce", "table3", *FIT[1:], "--only", -3), "'-3' is no whole number from 0 to 4294967295"),
    ],
)
def test_a_number_out_of_range_is_one_line(synthcp, tmp_path, monkeypatch, arguments, rule):
    monkeypatch.chdir(tmp_path)
    ended = synthcp(*arguments)
    assert (ended.code, len(ended.stderr)) == (2, 1), ended.stderr
    assert rule in ended.stderr[0] and len(ended.stderr[0]) < 200
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shard", [f"1/{HUGE}", f"{HUGE}/1", "0/4", "5/4", "-1/4", "1", "\u0661/4", "1/4/", " 1/4"])
def test_a_shard_that_is_none_is_one_line(fails, shard):
    with fails("shard '", "write i/n with i from 1 to n, n at most 999999"):
        parse_shard(shard)


def test_predictions_that_are_left_over_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / f"{name}.png")
    saved = SavedPredictions(tmp_path, Classes(("road", "sky"), ((0, 0, 0), (9, 9, 9))), 2)
    for ids, told in (
        (["b"], f"note: 2 of 3 predictions belong to none of these images, such as {tmp_path}/a.png\n"),
        ("abc", ""),
    ):
        saved.require(list(ids))
        tell_unused(cast(Any, SimpleNamespace(predictor=saved)))
        assert capsys.readouterr().err == told
