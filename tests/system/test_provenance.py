from __future__ import annotations

import os
import subprocess
import sys

import torch

from synthcp import __version__
from synthcp.system.provenance import command_line, commit, hardware, versions


def git(root, *arguments):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_of_a_checkout(tmp_path):
    git(tmp_path, "init")
    assert commit(tmp_path) == f"synthcp {__version__}"  # nothing committed yet
    commit.cache_clear()
    (tmp_path / "a.txt").write_text("one")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-m", "one")
    assert commit(tmp_path) == git(tmp_path, "rev-parse", "--short", "HEAD")
    (tmp_path / "a.txt").write_text("two")
    assert not commit(tmp_path).endswith("-dirty")  # the code that runs is that of its start
    commit.cache_clear()
    assert commit(tmp_path).endswith("-dirty")


def test_an_installed_package_has_its_version(tmp_path):
    assert commit(tmp_path) == f"synthcp {__version__}"


def test_the_command_can_be_typed_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/synthcp", "fit", "--data", "scenes:?count=4&seed=1", "--quiet"])
    assert command_line() == "synthcp fit --data 'scenes:?count=4&seed=1' --quiet"


def test_the_command_of_the_module_is_that_of_the_program(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/src/synthcp/__main__.py", "fit", "--quiet"])
    assert command_line() == "synthcp fit --quiet"


def test_hardware_names_the_cores():
    assert hardware(torch.device("cpu")).endswith(f", {os.cpu_count()} cores")


def test_versions_hold_what_numbers_depend_on():
    assert versions()["torch"] == torch.__version__
    assert {"synthcp", "python", "numpy", "pillow"} < set(versions())
