"""`synthcp report` on folders that no run writes: one line, exit code 2, and no hang."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from synthcp.records import Classes
from synthcp.report.outputs import ResultsWriter, RunSettings
from synthcp.report.rows import ResultRow

CLASSES = Classes(("road", "sky"), ((1, 2, 3), (4, 5, 6)))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    with ResultsWriter(tmp_path / "out", RunSettings(CLASSES, thresholds={"error": 0.5})) as writer:
        writer.add_row(ResultRow("a", "a.png", error_share=0.25))
    (tmp_path / "out/maps").mkdir()
    Image.new("P", (4, 2)).save(tmp_path / "out/maps/a_prediction.png")
    return tmp_path / "out"


def fifo(name: str) -> Callable[[Path], None]:
    def write(out: Path) -> None:
        (out / name).unlink(missing_ok=True)
        os.mkfifo(out / name)

    return write


def text(name: str, content: str) -> Callable[[Path], None]:
    return lambda out: (out / name).write_text(content)


def sparse(name: str, size: int) -> Callable[[Path], None]:
    def write(out: Path) -> None:
        with (out / name).open("ab") as file:
            file.truncate(size)

    return write


def bomb(name: str) -> Callable[[Path], None]:
    """A picture of 60,000 x 60,000 pixels, by its header."""

    def write(out: Path) -> None:
        header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 16, 0, 0, 0, 0)
        chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        (out / name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)

    return write


def settings(**values: object) -> Callable[[Path], None]:
    def write(out: Path) -> None:
        record = json.loads((out / "run.json").read_text()) | values
        (out / "run.json").write_text(json.dumps(record))

    return write


def colour(out: Path) -> None:
    Image.new("RGB", (4, 2)).save(out / "maps/a_error_16bit.png")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (fifo("run.json"), "run.json is no regular file"),
        (fifo("results.csv"), "results.csv is no regular file"),
        (fifo("regions.csv"), "regions.csv is no regular file"),
        (fifo("metrics.json"), "metrics.json is no regular file"),
        (sparse("run.json", 1 << 42), "run.json has 4194304 MiB"),
        (sparse("metrics.json", 1 << 42), "metrics.json has 4194304 MiB"),
        (sparse("results.csv", 1 << 42), "a line has 1000000 characters or more"),
        (bomb("maps/a_error.png"), "a_error.png is not a readable picture"),
        (bomb("maps/a_error_16bit.png"), "a_error_16bit.png is not a readable picture"),
        (colour, "a_error_16bit.png has pixels of mode RGB"),
        (text("maps/a_synthesis.png", "no picture"), "a_synthesis.png is not a readable picture"),
        (text("results.csv", "id,source\n\0,\0\n"), "results.csv is not as a run writes it"),
        (settings(thresholds={"error": "high"}), "thresholds.error"),
        (settings(thresholds={"error": 1e300}), "thresholds of RunSettings"),
        (settings(anomaly_range=True), "anomaly_range"),
        (text("results.csv", "\0" * 1000), "it has no column id"),
        (text("regions.csv", ""), "it has no column id"),
        (text("annotate.csv", "rank,id\nfirst,a\n"), "annotate.csv is not as a run writes it"),
        (text("metrics.json", '{"detectors": "many"}'), "metrics.json"),
    ],
)
def test_a_folder_that_no_run_writes_is_one_line(synthcp, out, broken, message):
    broken(out)
    ended = synthcp("report", out)
    assert (ended.code, len(ended.stderr)) == (2, 1), ended.stderr
    assert message in ended.stderr[0]


def test_the_folder_is_good_before_a_test_breaks_it(synthcp, out):
    assert synthcp("report", out).code == 0


def test_names_reach_neither_terminal_nor_page_raw(synthcp, tmp_path):
    name = "a\x1b[31m\u202egnp\nb"
    out = tmp_path / f"out{name}"
    with ResultsWriter(out, RunSettings(CLASSES, title=name)) as writer:
        writer.add_row(ResultRow(name, name, error_share=0.25, alarms=(name,)))
        writer.add_row(ResultRow(f"{name}2", name, "error", name))
    ended = synthcp("report", out)
    assert ended.code == 0 and ended.stdout.count("\n") == 1
    page = (out / "report.html").read_text()
    for told in (ended.stdout, page):
        assert r"a\x1b[31m\u202egnp\nb" in told and not {"\x1b", "\u202e"} & set(told) and name not in told
