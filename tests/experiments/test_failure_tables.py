"""Table 1 on drawn streets, from the command line to the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from synthcp.config.variants import VARIANTS
from synthcp.errors import InputError
from synthcp.evaluation import DetectorResult, Results, Row, Truth
from synthcp.experiments import failure_page, failure_tables
from synthcp.experiments.failure_cases import FailureCases, FailureScores
from synthcp.experiments.failure_page import COMPARED, Judged
from synthcp.experiments.failure_run import ABLATIONS, HEADS, MODELS, REPEATED
from synthcp.experiments.request import Request
from synthcp.metrics.ranking import RankingScores
from synthcp.metrics.regression import RegressionScores
from synthcp.records import Detection

IMAGE_LEVEL = ["10.2", "20.0", "43.0", "46.0"]
"""Of a row at 0.41."""


def row(name: str, level: float, image: bool = True) -> DetectorResult:
    pixel = RankingScores(level + 0.1, level, level + 0.3, 0.4, 0.15, 100, 3, 0, 0.35)
    quality = RegressionScores(level / 4, 0.2, 0.2, level + 0.02, level + 0.05, 9, 7)
    return DetectorResult(Row(name), pixel, pixel, quality if image else None)


def judged(folder: Path, seed: int) -> Judged:
    """One seed whose rows have scores of their own; further heads and generators in the first seed alone."""
    shared = [
        "MSP",
        "direct-raw",
        "direct",
        "SynthCP, untrained G-raw",
        "SynthCP, untrained G",
        "SynthCP-raw",
        "SynthCP",
    ]
    rows = [row(name, 0.3 + 0.02 * place + 0.01 * seed, "raw" not in name) for place, name in enumerate(shared)]
    if seed == 0:
        rows += [row(name + raw, 0.41, not raw) for name in ABLATIONS for raw in ("-raw", "")]
        rows += [row(f"SynthCP{REPEATED}2{raw}", 0.5, not raw) for raw in ("-raw", "")]
    cases = FailureCases(COMPARED, (0, 1))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(3):
        truth = Truth(torch.rand(6, 7, generator=generator) < 0.3, torch.ones(6, 7).bool(), torch.rand(2).double())
        for name in COMPARED:
            quality = None if "raw" in name or name == "MSP" else torch.rand(1, 2, generator=generator)
            cases.add(name, Detection(torch.rand(1, 6, 7, generator=generator), class_quality=quality), truth)
    cases.save(folder / f"{seed}.safetensors")
    settings = {"seen in fitting": "2", "cost of M": "1.00", "cost of G": "2.50"}
    results = Results(tuple(rows), 0.32, {}, 3, settings=settings)
    return Judged(results, FailureScores(folder / f"{seed}.safetensors"))


def cells(page: str, name: str) -> list[list[str]]:
    """The cells of every row of that name, in the order of the page."""
    lines = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in lines]


def test_the_page_shows_ours_the_papers_and_the_difference(tmp_path: Path) -> None:
    seeds = [judged(tmp_path, seed) for seed in range(2)]
    page = failure_page.failure_page({"some:data": {"fcn8": seeds}}, {"commit": "abc"})
    pixel, image, per_image, generators, heads = cells(page, "SynthCP")
    assert pixel[:3] == ["42.5 ± 0.7", "55.5", "-13.0"] and pixel[-3:] == ["40.0 ± 0.0", "22.5", "+17.5"]
    assert image[:3] == ["10.6 ± 0.2", "12.7", "-2.1"] and image[6:9] == ["44.5 ± 0.7", "62.5", "-18.0"]
    assert per_image == ["42.5 ± 0.7", "52.5 ± 0.7", "40.0 ± 0.0", "35.0 ± 0.0"]
    assert generators[0] == "42.0" and cells(page, "SynthCP, pix2pixHD") == [
        ["41.0", "71.0", "51.0", "40.0", *IMAGE_LEVEL]
    ]
    assert heads[0] == "46.0 ± 5.7" and cells(page, "SynthCP-raw")[-1][0] == "45.0 ± 7.1"
    assert cells(page, "MSP")[0][1] == "50.3" and len(cells(page, "SynthCP minus direct")) == 1
    assert cells(page, "time / M") == [["1.00", "2.50"]] and "| commit | abc |" in page
    conditions = "3 images, 2 seeds; mIoU of M 32.0 ± 0.0; wrong pixels, the AP-Err of chance, 15.0 ± 0.0; 9 classes in"
    assert conditions in page and "2 image ids were among those of the fit" in page


def test_what_no_row_says_of_quality_is_no_column_of_its_difference(tmp_path: Path) -> None:
    page = failure_page.failure_page({"some:data": {"deeplab": [judged(tmp_path, 1)]}}, {})
    (difference,) = cells(page, "SynthCP-raw minus direct-raw")
    assert difference[3:] == ["-", "-"] and all("to" in cell for cell in difference[:3])
    assert "### Heads" not in page and "### Other generators" not in page


def test_other_models_are_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="table1 is about deeplab and fcn8, not 'pspnet'"):
        failure_tables.reproduce_table1(Request("nowhere:", tmp_path, model="pspnet"))
    with pytest.raises(InputError, match="model 'fnc8' is unknown"):
        Request("nowhere:", tmp_path, weights={"fnc8": tmp_path})


def test_unusable_weights_of_the_second_model_are_refused_before_the_first_is_fitted(tmp_path: Path) -> None:
    (tmp_path / "vgg.safetensors").write_text("no weights")
    out = tmp_path / "out"
    scenes = "scenes:?count=8&size=48x64"
    request = Request(scenes, out, scale="tiny", weights={"fcn8": tmp_path / "vgg.safetensors"}, device="cpu")
    with pytest.raises(InputError, match=r"vgg.safetensors is damaged or not a safetensors file"):
        failure_tables.reproduce_table1(request)
    assert not list(out.rglob("*.safetensors"))


def test_heads_differ_in_what_their_rows_say() -> None:
    variants = {name: head.variant or VARIANTS["ours"] for name, head in HEADS.items()}
    assert (variants["SynthCP, image level alone"].loss.pixel, variants["SynthCP, image level alone"].loss.quality) == (
        0,
        1,
    )
    assert (variants["SynthCP, pixel level alone"].loss.pixel, variants["SynthCP, pixel level alone"].loss.quality) == (
        1,
        0,
    )
    assert variants["direct, half capacity"].branches == 1 and variants["direct"].branches == 2
    assert len({head.name for head in HEADS.values()}) == len(HEADS)


@pytest.mark.slow
def test_table1_on_a_cityscapes_tree_has_every_row_and_goes_on_where_it_stopped(
    synthcp: Callable[..., Any],
    write_cityscapes: Callable[[Path, Mapping[str, Mapping[str, int]], tuple[int, int]], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failure_tables, "commit", lambda: "abc")
    root = write_cityscapes(tmp_path / "data", {"train": {"aachen": 4, "ulm": 4}, "val": {"munster": 3}}, (48, 96))
    out = tmp_path / "out"
    shared = ("--data", f"cityscapes:{root}", "--scale", "tiny", "--seeds", "1", "--out", out, "--quiet")
    assert synthcp("reproduce", "table1", *shared, "--device", "cpu", "--precision", "fp32").code == 0
    page = (out / "table1.md").read_text()
    for model, other in zip(MODELS, reversed(MODELS), strict=True):
        kept = json.loads((out / "seed0" / model / "table1-0.json").read_text())
        names = {detector["name"] for detector in kept["detectors"]}
        expected = {
            *HEADS,
            "chance",
            "constant",
            "MSP",
            "MC dropout",
            "TCP",
            "VAE alarm",
            f"SynthCP, fitted to {other}",
        }
        assert expected <= names and (set(ABLATIONS) <= names) == (model == "fcn8")
        assert (f"SynthCP{REPEATED}5-raw" in names) == (f"direct{REPEATED}2" in names) == (model == "deeplab")
        assert (out / f"figure5-{model}-0.png").exists() and (out / f"figure5-{model}-0-iou.png").exists()
        assert f"## {model}, cityscapes:" in page
    assert all(f"\n| {name} |" in page for name in (*expected - {"SynthCP, fitted to deeplab"}, *ABLATIONS))
    steps = [path.read_text() for path in sorted(out.rglob("metrics.jsonl"))]
    assert synthcp("reproduce", "table1", *shared, "--device", "cpu", "--precision", "fp32").code == 0
    assert [path.read_text() for path in sorted(out.rglob("metrics.jsonl"))] == steps  # nothing was trained again
    assert (out / "table1.md").read_text() == page
