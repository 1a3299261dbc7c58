"""All four tables on drawn data, from the request to the page, and what they refuse."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from synthcp.config.scales import SCALES, VOLUME_SCALES, Scale
from synthcp.data.specs import open_dataset
from synthcp.errors import InputError
from synthcp.evaluation.results import Row
from synthcp.experiments import runs
from synthcp.experiments.figures import WIDTH
from synthcp.experiments.request import TableRequest
from synthcp.experiments.table import OTHER_M, Table
from synthcp.experiments.tables import TABLES, reproduce
from synthcp.fitting.config import FitConfig
from synthcp.fitting.imperfect_sources import Unseen
from synthcp.report.tables import from_json
from synthcp.rivals.catalogue import DETECTORS

STREETS, PHANTOMS = "scenes:?count=8&size=32x48", "phantoms:?count=4&size=16x16x24"
VOLUMES = "phantoms:?count=2&size=16x16x24&split=test"
TEST = "scenes:?count=3&size=32x48&split=test"
STRANGE = "heldout:scenes:?count=8&size=32x48&classes=person&leave=pixels"


def few_steps(scale: Scale, **others: Any) -> Scale:
    return replace(
        scale,
        segmentation=replace(scale.segmentation, steps=3, batch=2),
        gan=replace(scale.gan, steps=2, batch=1),
        comparator=replace(scale.comparator, steps=2, batch=2),
        **others,
    )


SMALLEST: Mapping[str, Scale] = {
    "images": few_steps(SCALES["tiny"], side=32),
    "volumes": few_steps(VOLUME_SCALES["tiny"], patch=(16, 16, 24)),
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Reproduce a table at the smallest scale, of the same code every time."""
    monkeypatch.setattr(runs, "commit", lambda: "abc")

    def run(table: Table, data: str, tests: str, **options: Any) -> str:
        scale = SMALLEST[table.kind]
        request = TableRequest(
            data, tmp_path, (tests,), FitConfig(scale=scale, device="cpu", precision="fp32", **options), seeds=1
        )
        return reproduce(replace(table, samples=20), request)

    return run


def trained(folder: Path) -> dict[Path, str]:
    """What every training has logged; a training more shows."""
    return {path: path.read_text() for path in folder.rglob("metrics.jsonl")}


def labels_of(page: str) -> set[str]:
    return {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")}


def test_table1_has_every_row_and_goes_on_where_it_stopped(run: Callable[..., str], tmp_path: Path) -> None:
    table = replace(TABLES["table1"], repeated=replace(TABLES["table1"].repeated, rows={"direct": "direct"}, fits=2))
    page = run(table, STREETS, TEST)
    assert page == (tmp_path / "table1.md").read_text()
    assert {*table.rows, *table.generators.rows} <= labels_of(page)
    for model in table.models:
        results = from_json((tmp_path / "seed0" / model / "table1-0.json").read_text())
        names = {result.name for result in results.detectors}
        assert (set(table.generators.rows) <= names) == (model == "fcn8")
        assert ({"direct, head 2-raw", "direct, head 2"} <= names) == (model == "deeplab")
        assert all((tmp_path / f"figure5-{model}-0{kind}.png").exists() for kind in ("", "-iou"))
    before = trained(tmp_path)
    again = run(table, STREETS, TEST)
    assert trained(tmp_path) == before and again == page


def test_table2_has_every_row_and_goes_on_where_it_stopped(run: Callable[..., str], tmp_path: Path) -> None:
    table = TABLES["table2"]
    page = run(table, PHANTOMS, VOLUMES)
    assert {*table.rows, *table.means} <= labels_of(page) and (tmp_path / "figure6-0.png").exists()
    before = trained(tmp_path)
    assert run(table, PHANTOMS, VOLUMES) == page
    assert trained(tmp_path) == before


def test_table3_has_every_row_and_table4_takes_its_runs(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = run(TABLES["table3"], STRANGE, f"{STRANGE}&split=test")
    assert {"chance", *TABLES["table3"].rows} <= labels_of(page)
    with Image.open(tmp_path / "figure7-0.png") as picture:
        assert abs(picture.width - 7 * WIDTH) < 10 * 7  # four columns and one for each map
    before = trained(tmp_path)
    other = run(TABLES["table4"], STRANGE, f"{STRANGE}&split=test")
    assert set(TABLES["table4"].rows) <= labels_of(other) and trained(tmp_path) == before
    monkeypatch.setattr(runs, "judge", None)  # all is on disk, of this commit
    assert run(TABLES["table4"], STRANGE, f"{STRANGE}&split=test") == other


def test_every_row_is_a_detector_of_the_catalogue() -> None:
    for table in TABLES.values():
        names = {*table.rows.values(), *table.generators.rows.values(), *table.repeated.rows.values()}
        assert names <= {*DETECTORS, OTHER_M}
        known = {*table.rows, *table.means}
        assert {row.detector for pair in table.pairs for row in pair} <= known
        assert {label for pair in table.means.values() for label in pair} <= known


def test_without_the_crf_the_extra_is_named_before_anything_is_fitted(
    synthcp: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    ended = synthcp("reproduce", "table3", "--data", STRANGE, "--out", tmp_path / "none", "--quiet")
    assert ended.code == 2 and "synthcp[crf]" in ended.stderr[0] and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table9",), r"table 'table9' is unknown; choose one of table1, table2, table3, table4"),
        (("table3", "--data", f"{STREETS}&split=train", "--test", f"{STREETS}&split=train"), r"shows an anomaly"),
        (("table3", "--test", "heldout:scenes:?count=8&classes=tree"), r"the training data have .*; both must be"),
        (("table3", "--model", "swin"), r"no model kind 'swin'; choose one of: hf"),
        (("table3", "--data", "heldout:scenes:?count=8&classes=unicorn"), r"no class 'unicorn'"),
        (("table3", "--seeds", "2", "--only", "2"), r"seed 2 is none of the 2, which are 0 to 1"),
        (("table2",), r"scenes.* holds images, but the table is about volumes"),
        (("table1", "--model", "pspnet"), r"table1 is about deeplab and fcn8, not 'pspnet'"),
        (("table1", "--weights", "fnc8=x"), r"model 'fnc8' is unknown"),
    ],
)
def test_bad_input_is_one_line(
    synthcp: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    data = () if "--data" in arguments else ("--data", STRANGE)
    ended = synthcp("reproduce", *arguments, *data, "--out", tmp_path / "out", "--scale", "tiny", "--quiet")
    assert ended.code == 2 and len(ended.stderr) == 1
    assert re.search(message, ended.stderr[0])


def test_unusable_weights_of_the_second_model_are_refused_before_the_first_is_fitted(tmp_path: Path) -> None:
    (tmp_path / "vgg.safetensors").write_text("no weights")
    weights = {"fcn8": tmp_path / "vgg.safetensors"}
    request = TableRequest(STREETS, tmp_path / "out", fit=FitConfig(scale="tiny", device="cpu"), weights=weights)
    with pytest.raises(InputError, match=r"vgg.safetensors is damaged or not a safetensors file"):
        reproduce(TABLES["table1"], request)
    assert not list((tmp_path / "out").rglob("*.safetensors"))


class Brightness(torch.nn.Module):
    """An M that others have trained: one class for each part of the grey scale."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(classes, classes, 1)
        self.register_buffer("levels", torch.linspace(0, 1, classes)[:, None, None])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        levels = self.get_buffer("levels")
        return self.layer(-8 * (image.mean(dim=1, keepdim=True) - levels).abs())


def test_of_a_brought_m_the_rows_that_it_cannot_have_are_left_out_and_told(
    run: Callable[..., str], tmp_path: Path
) -> None:
    kept = ("chance", "MSP", "MC dropout", "TCP", "VAE alarm", "SynthCP, fitted to the other M", "direct", "SynthCP")
    rows = {label: name for label, name in TABLES["table1"].rows.items() if label in kept}
    table = replace(TABLES["table1"], rows=rows, pairs=((Row("SynthCP"), Row("direct")),))
    model = Brightness(len(open_dataset(STREETS).classes))
    page = run(table, STREETS, TEST, model=model, imperfect=Unseen())
    unsuited, other = "MC dropout", "SynthCP, fitted to the other M"
    assert labels_of(page) >= {*table.rows} - {unsuited, other}
    assert not {unsuited, other, *table.generators.rows} & labels_of(page)
    assert re.search(rf"left out: {unsuited} \(.* has no dropout layer.*\)\.", page) and "| time / M |" in page
    assert (tmp_path / "seed0" / "generator.safetensors").exists() and (tmp_path / "figure5-brought-0.png").exists()
    before = trained(tmp_path)
    assert run(table, STREETS, TEST, model=model, imperfect=Unseen()) == page and trained(tmp_path) == before
