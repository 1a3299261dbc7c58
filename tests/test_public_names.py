"""What a user may rely on: the names of the package, its version, and the files that the docs name."""

import importlib
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import synthcp

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def test_the_names_of_the_readme_are_public() -> None:
    assert {"Monitor", "audit", "calibrate", "evaluate", "fit", "score"} <= set(synthcp.__all__)


def test_public_names_are_sorted_and_unique() -> None:
    names = [name for name in synthcp.__all__ if not name.startswith("_")]
    assert names == sorted(set(names))


@pytest.mark.parametrize("name", synthcp.__all__)
def test_every_public_name_is_documented_and_ours(name: str) -> None:
    value = getattr(synthcp, name)
    if name != "__version__":
        assert value.__doc__
        assert value.__module__.startswith("synthcp.")


@pytest.mark.parametrize("name", synthcp.__all__)
def test_a_public_name_is_not_hidden_by_a_module_of_that_name(name: str) -> None:
    first = getattr(synthcp, name)
    importlib.import_module(getattr(first, "__module__", "synthcp"))
    assert getattr(synthcp, name) is first
    assert not isinstance(first, ModuleType)


def test_an_unknown_name_is_an_attribute_error() -> None:
    name = "no_such_name"
    with pytest.raises(AttributeError, match=name):
        getattr(synthcp, name)


def test_dir_lists_the_public_names() -> None:
    assert set(synthcp.__all__) <= set(dir(synthcp))


def test_versions_agree() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert PROJECT["version"] == synthcp.__version__
    assert f"\nversion: {synthcp.__version__}\n" in citation
    assert f"## [{synthcp.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_python_file_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", page.read_text(encoding="utf-8")))
    missing = [name for name in named if not any((root / name).is_file() for root in (ROOT, ROOT / "src/synthcp"))]
    assert not missing, f"{page.name} names files that do not exist: {sorted(missing)}"
