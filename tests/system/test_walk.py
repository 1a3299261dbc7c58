"""The oracle is os.walk(followlinks=True) where there is no circle, and a count by hand where there is one."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import pytest

from synthcp.system.walk import walk


@pytest.fixture
def touch(tmp_path):
    def write(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return write


def names(folder: Path, **options: bool) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in walk(folder, **options).files]


def left_out(folder: Path) -> dict[str, list[str]]:
    return {
        reason: [path.relative_to(folder).as_posix() for path in paths]
        for reason, paths in walk(folder).left_out.items()
    }


def test_links_to_folders_are_followed(touch):
    root = touch("in/a.png", "in/sub/b.png", "far/c.png", "far/deep/d.png", "file.png")
    (root / "in/link").symlink_to(root / "far")
    (root / "in/e.png").symlink_to(root / "file.png")
    expected = [
        os.path.relpath(os.path.join(place, file), root / "in")
        for place, _, files in os.walk(root / "in", followlinks=True)
        for file in files
    ]
    assert names(root / "in") == sorted(expected) and len(expected) == 5
    (root / "whole").symlink_to(root / "in")
    assert names(root / "whole") == names(root / "in")


def test_no_real_folder_is_read_twice(touch):
    root = touch("in/z/a.png", "far/c.png")
    (root / "in/a").symlink_to(root / "in/z")  # sorted before z, which keeps its file all the same
    for link in ("one", "two"):
        (root / "in" / link).symlink_to(root / "far")
    assert names(root / "in") == ["one/c.png", "z/a.png"]
    assert left_out(root / "in") == {"folder that is read already": ["a", "two"]}
    (root / "in/0").symlink_to(root)  # holds all of it, and lies above
    root = touch("other/a.png", "all/part/b.png")
    (root / "other/1").symlink_to(root / "all/part")
    (root / "other/2").symlink_to(root / "all")
    assert names(root / "other") == ["1/b.png", "a.png"]


def test_circles_end(touch):
    root = touch("in/a.png", "in/sub/b.png", "outside.png", "far/c.png")
    (root / "in/sub/up").symlink_to(root / "in")
    (root / "in/self").symlink_to(".")
    (root / "in/above").symlink_to(root)
    (root / "in/far").symlink_to(root / "far")
    (root / "far/back").symlink_to(root / "in/sub")
    assert names(root / "in") == ["a.png", "far/c.png", "sub/b.png"]
    assert left_out(root / "in") == {
        "link to a folder above it": ["above", "self", "sub/up"],
        "folder that is read already": ["far/back"],
    }


def test_what_is_no_file_is_counted_by_reason(touch):
    root = touch("a.png", ".DS_Store", ".git/b.png")
    os.mkfifo(root / "pipe.png")
    (root / "null.png").symlink_to("/dev/null")
    (root / "gone.png").symlink_to("nowhere")
    (root / "round.png").symlink_to("round.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "s"))
        assert names(root) == ["a.png"]
    assert left_out(root) == {
        "hidden": [".DS_Store", ".git"],
        "FIFO": ["pipe.png"],
        "device": ["null.png"],
        "broken link": ["gone.png", "round.png"],
        "socket": ["s"],
    }


def test_our_results_are_no_input(touch):
    root = touch("a.png", "out/run.json", "out/results.csv", "out/maps/a_error.png", "out/mine.png")
    assert names(root) == ["a.png", "out/mine.png", "out/results.csv", "out/run.json"]
    assert left_out(root) == {"folder of earlier results": ["out/maps"]}
    assert "out/maps/a_error.png" in names(root, results=True)
    assert names(root / "out/maps") == ["a_error.png"]  # named by the user


def test_a_folder_named_maps_is_not_ours_without_our_files(touch):
    assert names(touch("maps/a.png", "run.json")) == ["maps/a.png", "run.json"]


def test_what_is_left_out_is_told_in_one_line(touch, caplog):
    root = touch("a.png", "b.heic", "c.HEIC", "notes", "\x1b[31m.gif", *(f"k{kind}.k{kind}" for kind in range(12)))
    walked = walk(root)
    with caplog.at_level(logging.WARNING, "synthcp"):
        assert [path.name for path in walked.keep((".png",))] == ["a.png"]
        walked.tell()
    (line,) = caplog.messages
    assert line.startswith(f"left out of {root}: 2 .heic (b.heic, c.HEIC), 1 without suffix (notes), ")
    assert line.endswith("3 of other kinds") and "\n" not in line and "\x1b" not in line


def test_nothing_is_told_where_nothing_is_left_out(touch, caplog):
    walk(touch("a.png")).tell()
    assert caplog.messages == []
