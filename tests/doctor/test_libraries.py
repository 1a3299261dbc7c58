from __future__ import annotations

import os
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from synthcp.doctor import libraries
from synthcp.doctor.libraries import PURPOSES, check_libraries, malicious_libraries, torchvision

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
        return {finding.name: finding for finding in check_libraries()}

    return install


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package torchvision that comes first, here and in other processes."""

    def write(source):
        (tmp_path / "torchvision").mkdir()
        (tmp_path / "torchvision" / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))

    return write


def test_what_is_installed_here_is_told_with_its_version():
    findings = {finding.name: finding for finding in check_libraries()}
    assert findings["python"].state == "good"
    for name in ("torch", "numpy", "scipy", "jinja2"):
        assert f"{name} {version(name)}" in findings["libraries"].what


def test_all_is_good_when_everything_is_there(installed):
    found = installed()
    assert {finding.state for finding in found.values()} == {"good"} and not any(f.remedy for f in found.values())
    assert found["extra hf"].what == "transformers 9999 (models of Hugging Face)"


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
    assert (found[name].state, found[name].what, found[name].remedy) == ("bad", what, remedy)
    assert name not in found["libraries"].what and "numpy 9999" in found["libraries"].what


def test_an_old_python_is_bad(installed, monkeypatch):
    monkeypatch.setattr(libraries.platform, "python_version", lambda: "3.10.14")
    python = installed()["python"]
    assert python.state == "bad" and python.what == "is 3.10.14 (needed: >=3.11)"


def test_a_missing_extra_is_no_flaw_but_told_with_the_way_to_it(installed):
    extra = installed(onnx=None, onnxscript=None)["extra export"]
    assert extra.state == "good" and extra.remedy == 'pip install "synthcp[export]"'
    assert extra.what == "onnxruntime 9999, not installed: onnx, onnxscript (ONNX models)"


def test_an_extra_that_is_too_old_is_noted(installed):
    extra = installed(transformers="4.0")["extra hf"]
    assert extra.state == "note" and "transformers is 4.0 (needed: >=4.48)" in extra.what
    assert extra.remedy == 'pip install "synthcp[hf]"'


@pytest.mark.parametrize(("release", "state"), [("2.6.2", "bad"), ("2.6.3", "bad"), ("2.6.1", None), (None, None)])
def test_malicious_releases_are_bad_and_not_imported(installed, release, state):
    found = installed(lightning=release)
    assert (found["lightning"].state if "lightning" in found else None) == state
    assert "lightning" not in sys.modules
    if state:
        assert release in found["lightning"].what and "renew every password" in found["lightning"].remedy


def test_no_malicious_release_is_here():
    assert malicious_libraries() == []


def test_from_source_alone_the_versions_are_unknown(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(libraries, "requires", absent)
    assert [(finding.name, finding.state) for finding in check_libraries()][0] == ("libraries", "note")


def test_a_broken_torchvision_is_bad_and_leaves_nothing_here(package):
    package("raise RuntimeError('operator torchvision::nms does not exist')")
    (finding,) = torchvision()
    assert finding.state == "bad" and "pip uninstall torchvision" in finding.remedy
    assert "RuntimeError: operator torchvision::nms does not exist" in finding.what and "\n" not in finding.what
    assert "torchvision" not in sys.modules


def test_a_torchvision_that_dies_is_bad(package):
    package("import os; os._exit(9)")
    (finding,) = torchvision()
    assert finding.state == "bad" and "ended with code 9" in finding.what


def test_a_torchvision_that_imports_is_good(package):
    package("__version__ = '0.99.1'; print('hello')")
    assert [(finding.state, finding.what) for finding in torchvision()] == [("good", "0.99.1 imports")]


def test_without_torchvision_there_is_nothing_to_say(monkeypatch):
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    assert torchvision() == []
