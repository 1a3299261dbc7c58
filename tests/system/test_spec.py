from __future__ import annotations

from pathlib import Path

import pytest

from synthcp.system.spec import path_of


def test_a_path_with_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/the/home")
    assert path_of("~/a:b") == Path("/the/home/a:b") and path_of(Path("~")) == Path("/the/home")
    assert path_of("a/~") == Path("a/~")


@pytest.mark.parametrize("spec", ["onnx:~nobody-here/x.onnx", "hf:~nobody-here/x", "~nobody-here/x.py:f"])
def test_the_home_of_nobody_is_a_path_that_is_not_there(spec: str, synthcp, tmp_path: Path) -> None:
    assert path_of("~nobody-here/x") == Path("~nobody-here/x")
    ended = synthcp(
        "fit", "--data", "scenes:?count=4&size=48x64", "--model", spec, "--out", tmp_path / "run", "--quiet"
    )
    assert (ended.code, len(ended.stderr)) == (2, 1) and ended.stderr[0].startswith("error: ")
