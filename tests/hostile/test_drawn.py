"""Laws that hold for whatever is drawn: readers refuse in one line or read, names are shown, cells come back."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image

from synthcp.cli.options import whole
from synthcp.data.images import read_image, read_label_map
from synthcp.errors import DataError, InputError, WeightsError, shown
from synthcp.records import Classes
from synthcp.report.csv_files import TEXT
from synthcp.report.outputs import ResultsWriter, RunSettings
from synthcp.report.rows import ResultRow, read_rows
from synthcp.system.files import load_tensors, save_tensors
from synthcp.system.spec import Spec, up_to
from synthcp.verbs.score import parse_shard

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as draw

drawn = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
texts = draw.text(draw.characters(exclude_categories=["Cs"]))
edits = draw.lists(draw.tuples(draw.integers(0, 10_000), draw.integers(0, 255)), max_size=30)


def edited(content: bytes, changes: list[tuple[int, int]], length: int) -> bytes:
    """The first bytes of a content, some of them replaced."""
    changed = bytearray(content[: max(1, length % (len(content) + 1))])
    for place, value in changes:
        changed[place % len(changed)] = value
    return bytes(changed)


def one_line(read: Callable[[], object], kind: type[InputError]) -> None:
    """Read, or refuse in one line of printable text."""
    try:
        read()
    except kind as error:
        assert str(error).isprintable()


@drawn
@given(kind=draw.sampled_from(["PNG", "JPEG", "BMP", "TIFF", "WEBP"]), changes=edits, length=draw.integers(0, 10_000))
def test_an_image_is_read_or_refused(tmp_path: Path, kind: str, changes: list[tuple[int, int]], length: int) -> None:
    content = io.BytesIO()
    Image.fromarray(np.arange(24 * 20 * 3, dtype=np.uint8).reshape(24, 20, 3)).save(content, kind)
    path = tmp_path / "a.png"
    path.write_bytes(edited(content.getvalue(), changes, length))
    one_line(lambda: read_image(path), DataError)
    one_line(lambda: read_label_map(path), DataError)


@drawn
@given(changes=edits, length=draw.integers(0, 10_000))
def test_weights_are_read_or_refused(tmp_path: Path, changes: list[tuple[int, int]], length: int) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(3, 4), "b": torch.zeros(2, dtype=torch.int64)})
    path.write_bytes(edited(path.read_bytes(), changes, length))
    one_line(lambda: load_tensors(path), WeightsError)


@drawn
@given(changes=edits, length=draw.integers(0, 10_000))
def test_a_table_is_read_or_refused(
    tmp_path: Path, run_settings: RunSettings, changes: list[tuple[int, int]], length: int
) -> None:
    with ResultsWriter(tmp_path, run_settings) as writer:
        writer.add_row(ResultRow("a", "b.png", error_share=0.25, alarms=("c",), class_quality={"road": 0.5}))
    path = tmp_path / "results.csv"
    path.write_bytes(edited(path.read_bytes(), changes, length))
    one_line(lambda: read_rows(tmp_path), InputError)


@pytest.fixture
def run_settings() -> RunSettings:
    return RunSettings(Classes(("road",), ((1, 2, 3),)))


@drawn
@given(text=draw.text())
def test_what_is_shown_is_printable_and_stays(text: str) -> None:
    assert shown(text).isprintable() and shown(shown(text)) == shown(text)
    assert text.isprintable() <= (shown(text) == text)


@drawn
@given(cells=draw.lists(texts, min_size=1))
def test_a_cell_comes_back_and_is_no_formula(cells: list[str]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerow(map(TEXT.write, cells))
    (line,) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert [TEXT.read(cell) for cell in line] == cells
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in line)


@drawn
@given(text=draw.text() | draw.from_regex(r"[0-9]{1,30}", fullmatch=True), high=draw.integers(1, 2**40))
def test_a_number_is_in_its_range_or_refused(text: str, high: int) -> None:
    with suppress(InputError):
        assert 0 <= up_to(high)(text) == int(text) <= high
    with suppress(typer.BadParameter):
        assert 1 <= whole(1, high)(text) <= high


@drawn
@given(text=draw.text() | draw.from_regex(r"[0-9]{1,9}/[0-9]{1,9}", fullmatch=True))
def test_a_shard_is_a_part_or_refused(text: str) -> None:
    with suppress(InputError):
        number, count = parse_shard(text)
        assert 1 <= number <= count <= 999_999
    Spec.parse(text)
