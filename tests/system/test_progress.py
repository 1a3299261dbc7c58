from __future__ import annotations

import io

import pytest
from rich.console import Console

from synthcp.system.progress import LINE_SECONDS, Lines, clock_time, describe, show_progress


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def lines(told, clock):
    return Lines(told.append, clock)


def text_of(terminal: bool, quiet: bool) -> str:
    file = io.StringIO()
    with show_progress(Console(file=file, force_terminal=terminal, width=150), quiet) as report:
        for step in (1, 2, 3):
            report("segmenter", step, 3, {"loss": 1 / step})
        report("generator", 1, 2, {})
    return file.getvalue()


def test_a_stage_has_one_line_at_its_end(lines, told, clock):
    for step in (1, 2, 3):
        clock.now += 5
        lines("segmenter", step, 3, {"loss": 0.25})
    lines("generator", 1, 2, {})
    assert told == ["segmenter:  3 done in 0:10  loss 0.25"]


def test_a_long_stage_tells_how_much_time_is_left(lines, told, clock):
    for step in range(41, 44):  # resumed at step 40
        lines("generator", step, 100, {"G": 2.0, "D": 0.5})
        clock.now += LINE_SECONDS / 2
    assert told == ["generator:  43/100, 9:30 left  G 2, D 0.5"]


def test_after_a_line_there_is_silence_for_a_while(lines, told, clock):
    for step in range(1, 61):
        lines("generator", step, 1000, {})
        clock.now += LINE_SECONDS / 10
    assert [line.split(",")[0] for line in told] == ["generator:  11/1000", "generator:  21/1000"] + [
        f"generator:  {step}/1000" for step in (31, 41, 51)
    ]


def test_a_stage_that_comes_again_counts_its_time_anew(lines, told, clock):
    for start in (1, 1):
        for step in (start, start + 1):
            lines("read", step, 2, {})
            clock.now += 4
    assert told == ["read:  2 done in 0:04"] * 2


def test_quiet_shows_nothing_and_a_log_gets_lines():
    assert text_of(terminal=False, quiet=True) == text_of(terminal=True, quiet=True) == ""
    assert text_of(terminal=False, quiet=False) == "segmenter:  3 done in 0:00  loss 0.333\n"


def test_a_terminal_gets_one_bar_per_stage():
    last = text_of(terminal=True, quiet=False).rsplit("segmenter", 1)[1]
    first, second = last.split("generator")
    assert "3/3" in first and "loss 0.333" in first and "1/2" in second


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "1:00:00"), (3 * 3600 + 125, "3:02:05")]
)
def test_clock_time(seconds, text):
    assert clock_time(seconds) == text


def test_losses_as_text():
    assert describe({"total": 0.41239, "quality": 12.0}) == "total 0.412, quality 12"
