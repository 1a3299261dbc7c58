from __future__ import annotations

import os
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from synthcp.doctor import libraries
from synthcp.doctor.base import Finding, Scope
from synthcp.doctor.examine import CHECKS
from synthcp.doctor.libraries import PURPOSES, extras, malicious, needed, torchvision

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
NEEDED = [*PROJECT["dependencies"], *(f'{need}; extra == "{name}"' for name in EXTRAS for need in EXTRAS[name])]


@pytest.fixture
def installed(monkeypatch):
    """All that pyproject.toml names, each in a version that will do, with changes; None takes a library away."""

    def install(**changes):
        releases = dict.fromkeys([libraries.Requirement(need).name for need in NEEDED], "9999") | changes

        def release_of(name):
            if releases.get(name) is None:
                raise PackageNotFoundError(name)
            return releases[name]

        monkeypatch.setattr(libraries, "version", release_of)
        monkeypatch.setattr(libraries, "requires", lambda name: NEEDED)
        return {finding.name: finding for check in (needed, extras, malicious) for finding in check(Scope())}

    return install


@pytest.fixture
def tried(tmp_path, monkeypatch):
    """Findings of a package torchvision that comes first in other processes."""

    def tried(source):
        (tmp_path / "torchvision").mkdir()
        (tmp_path / "torchvision" / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
        findings = list(torchvision(Scope()))
        assert "torchvision" not in sys.modules
        return findings

    return tried


def test_nothing_is_wrong_here():
    findings = [finding for check in CHECKS["Libraries"].values() for finding in check(Scope())]
    assert [finding.name for finding in findings] == ["libraries", *(f"extra {name}" for name in PURPOSES)]
    assert not any(finding.state == "bad" for finding in findings)


def test_all_is_good_when_everything_is_there(installed):
    found = installed()
    assert {finding.state for finding in found.values()} == {"good"} and not any(f.remedy for f in found.values())
    assert f"the {len(PROJECT['dependencies'])} libraries" in found["libraries"].what
    assert found["extra hf"].what == "is there (models of Hugging Face)"


def test_every_extra_of_the_project_has_a_purpose():
    assert set(PURPOSES) == set(EXTRAS) - {"dev", "all"}


@pytest.mark.parametrize(
    ("name", "release", "what", "remedy"),
    [
        ("torch", "2.5.1+cpu", "is 2.5.1+cpu (needed: >=2.6)", 'pip install "torch>=2.6"'),
        ("jinja2", None, "is not installed", 'pip install "jinja2>=3.1.4"'),
    ],
)
def test_a_library_that_is_old_or_missing_is_bad(installed, name, release, what, remedy):
    found = installed(**{name: release})
    assert found[name] == Finding(name, "bad", what, remedy) and "libraries" not in found


def test_an_old_python_is_bad(installed, monkeypatch):
    monkeypatch.setattr(libraries.platform, "python_version", lambda: "3.10.14")
    assert installed()["python"].state == "bad" and installed()["python"].what == "is 3.10.14 (needed: >=3.11)"


@pytest.mark.parametrize(
    ("extra", "changes", "state", "what"),
    [
        (
            "export",
            {"onnx": None, "onnxscript": None},
            "good",
            "onnx is not installed, onnxscript is not installed (ONNX models)",
        ),
        ("hf", {"transformers": "4.0"}, "note", "transformers is 4.0 (needed: >=4.48) (models of Hugging Face)"),
    ],
)
def test_an_extra_that_is_missing_is_no_flaw_and_one_that_is_old_is_noted(installed, extra, changes, state, what):
    name = f"extra {extra}"
    assert installed(**changes)[name] == Finding(name, state, what, f'pip install "synthcp[{extra}]"')


@pytest.mark.parametrize(("release", "state"), [("2.6.2", "bad"), ("2.6.3", "bad"), ("2.6.1", None), (None, None)])
def test_malicious_releases_are_bad_and_not_imported(installed, release, state):
    found = installed(lightning=release)
    assert (found["lightning"].state if "lightning" in found else None) == state
    assert "lightning" not in sys.modules
    if state:
        assert release in found["lightning"].what and "renew every password" in found["lightning"].remedy


def test_from_source_alone_the_versions_are_unknown(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(libraries, "metadata", absent)
    (finding,) = needed(Scope())
    assert finding.state == "note" and finding.remedy == "pip install -e ."


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('torchvision::nms\\nis missing')", "(is missing)"),
        ("import os; os._exit(9)", "(the import ended with code 9)"),
    ],
)
def test_a_broken_torchvision_is_bad_and_leaves_nothing_here(tried, source, reason):
    (finding,) = tried(source)
    assert finding.state == "bad" and reason in finding.what and "pip uninstall torchvision" in finding.remedy


def test_of_a_sound_torchvision_or_none_there_is_nothing_to_say(tried, monkeypatch):
    assert tried("print('hello')") == []
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    assert list(torchvision(Scope())) == []
