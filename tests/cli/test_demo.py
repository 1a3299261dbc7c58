"""The demo that only shows that everything runs says so wherever its numbers are."""

from __future__ import annotations

import json

import pytest

from synthcp.verbs.demo import MEANINGLESS


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--volumes"]])
def test_a_tiny_demo_ends_soon_and_says_that_its_numbers_mean_nothing(synthcp, tmp_path, options):
    ended = synthcp("demo", "--scale", "tiny", "--out", tmp_path / "demo", "--quiet", *options)
    assert (ended.code, ended.stderr) == (0, [f"note: these numbers {MEANINGLESS}"])
    assert json.loads((tmp_path / "demo" / "metrics.json").read_text())["settings"]["numbers"] == MEANINGLESS
    assert MEANINGLESS in (tmp_path / "demo" / "report.html").read_text()


def test_a_demo_of_no_known_scale_is_refused(synthcp, tmp_path):
    ended = synthcp("demo", "--scale", "full", "--out", tmp_path / "demo")
    assert (ended.code, ended.stderr) == (2, ["error: scale 'full' is unknown; choose one of small, tiny"])
    assert list(tmp_path.iterdir()) == []
