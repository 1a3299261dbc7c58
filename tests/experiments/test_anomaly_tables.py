"""Tables 3 and 4 on drawn streets, from the command line to the page."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from synthcp.evaluation import DetectorResult, Results, Row
from synthcp.experiments import anomaly_tables
from synthcp.experiments.tables import ANOMALY_TABLES, PAPER, SHIPPED, TABLES, THRESHOLDS
from synthcp.metrics.protocols import AnomalyScores
from synthcp.report.tables import from_json

DATA = "heldout:scenes:?count=16&size=48x64&classes=person"


def cells(page: str) -> dict[str, list[str]]:
    """The rows of the first table."""
    lines = page.split("\n## ")[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {name: values for name, *values in rows if set(name) != {"-"}}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("table") / "out"


def reproduce(synthcp: Callable[..., Any], out: Path, table: str, *more: str) -> Any:
    shared = ("--data", DATA, "--scale", "tiny", "--seeds", "2", "--out", out, "--device", "cpu")
    return synthcp("reproduce", table, *shared, "--precision", "fp32", "--quiet", *more)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pydensecrf") is None, reason="needs the extra crf, which is compiled")
def test_table3_has_every_row_and_table4_takes_its_runs(
    synthcp: Callable[..., Any], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anomaly_tables, "commit", lambda: "abc")
    ended = reproduce(synthcp, out, "table3", "--markdown", str(out.parent / "page.md"))
    assert ended.code == 0
    page = (out / "table3.md").read_text()
    assert page == (out.parent / "page.md").read_text()
    rows = cells(page)
    assert set(ANOMALY_TABLES["table3"].paper) <= set(rows) and {SHIPPED, f"{SHIPPED}, no drawing"} <= set(rows)
    assert rows[PAPER][-3:] == ["28.4", "88.5", "9.3"] and rows[SHIPPED][-3:] == ["-", "-", "-"]
    assert rows["chance"][:2] == ["95.0", "50.0"]
    seeds = [from_json((out / f"seed{seed}" / "table3-0.json").read_text()) for seed in (0, 1)]
    assert rows["msp"][:6] == expected(seeds, "msp")
    assert (out / "seed0" / "table3-0.png").exists()
    fitted = {path: path.stat().st_mtime_ns for path in out.glob("seed*/*.safetensors")}
    assert reproduce(synthcp, out, "table4").code == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("seed*/*.safetensors")} == fitted
    assert [name for name in cells((out / "table4.md").read_text()) if name.startswith("t =")] == [
        f"t = {threshold}" for threshold in THRESHOLDS
    ]
    monkeypatch.setattr(anomaly_tables, "judge", None)  # all is on disk, of this commit
    assert reproduce(synthcp, out, "table4").code == 0


def expected(seeds: list[Results], name: str) -> list[str]:
    """Mean and deviation over two seeds, FPR95, AUROC and AUPR per image, then pooled."""
    texts = []
    for protocol in ("caos", "pooled"):
        for score in ("fpr95", "auroc", "aupr"):
            first, second = (
                100 * getattr(next(row for row in results.detectors if row.name == name).anomaly[protocol], score)
                for results in seeds
            )
            texts.append(f"{(first + second) / 2:.1f} ± {abs(first - second) / 2**0.5:.1f}")
    return texts


@pytest.mark.parametrize("seen", ["0", "3"])
def test_a_test_that_holds_training_images_says_so(seen: str) -> None:
    scores = {name: AnomalyScores(0.9, 0.5, 0.2, 0.125, 0.25, 64, 2, 1) for name in anomaly_tables.PROTOCOLS}
    row = DetectorResult(Row("msp"), anomaly=scores)
    settings = {anomaly_tables.SEEN: seen}
    results = [Results((row,), miou, {}, 3, settings=settings) for miou in (0.5, 0.6)]
    told = anomaly_tables._conditions(results)
    assert "caos: 2 images judged, 1 skipped, 12.50 % of the judged pixels anomalous, 25.0 % void" in told
    assert ("3 image ids were among those of the fit" in told) == (seen == "3")


def test_without_the_crf_the_extra_is_named_before_anything_is_fitted(
    synthcp: Callable[..., Any], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    ended = reproduce(synthcp, out.parent / "none", "table3")
    assert ended.code == 2 and "synthcp[crf]" in ended.stderr[0] and not (out.parent / "none").exists()


@pytest.fixture
def _crf(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra were there: these commands end before it is needed."""
    table = replace(ANOMALY_TABLES["table3"], require=lambda: None)
    monkeypatch.setitem(TABLES, "table3", partial(anomaly_tables.reproduce, table))


@pytest.mark.usefixtures("_crf")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table9",), r"table 'table9' is unknown; choose one of table1, table2, table3, table4"),
        (("table3", "--data", "scenes:?count=4&split=train&size=48x64"), r"no image shows an anomaly"),
        (("table3", "--test", "heldout:scenes:?count=8&classes=tree"), r"the training data have .*; both must be"),
        (("table3", "--model", "swin"), r"model 'swin' is unknown; choose one of deeplab, pspnet, resnet, fcn8"),
        (("table3", "--data", "heldout:scenes:?count=8&classes=unicorn"), r"no class 'unicorn'"),
        (("table3", "--seeds", "2", "--only", "2"), r"seed 2 is none of the 2, which are 0 to 1"),
        (("table2",), r"scenes.* holds images, but the table is about volumes"),
    ],
)
def test_bad_input_is_one_line(
    synthcp: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    data = () if "--data" in arguments else ("--data", DATA)
    test = ("--test", "scenes:?count=4&split=train&size=48x64") if "no image" in message else ()
    ended = synthcp("reproduce", *arguments, *data, *test, "--out", tmp_path / "out", "--scale", "tiny", "--quiet")
    assert ended.code == 2 and len(ended.stderr) == 1
    assert re.search(message, ended.stderr[0])
