"""The pages in docs/detectors: every function that they name exists; every page is in the index, with each section."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from synthcp.rivals.catalogue import DETECTORS

ROOT = Path(__file__).parents[2]
FOLDER, SOURCE = ROOT / "docs" / "detectors", ROOT / "src" / "synthcp"
INDEX = FOLDER / "README.md"
CARDS = sorted(set(FOLDER.glob("*.md")) - {INDEX})


def code_of(page: Path) -> list[tuple[str, str]]:
    """Pairs of a file and a name in it: `file.py:Class.method`."""
    return re.findall(r"`([\w/]+\.py):([\w.]+)`", page.read_text(encoding="utf-8"))


def names_in(file: Path) -> set[str]:
    """What a module defines, and with a dot what its classes do."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inner = {f"{node.name}.{name}" for node in tree.body if isinstance(node, ast.ClassDef) for name in defined(node)}
    return defined(tree) | inner


def defined(body: ast.Module | ast.ClassDef) -> set[str]:
    names = {node.name for node in body.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    targets = [node.targets for node in body.body if isinstance(node, ast.Assign)]
    targets += [[node.target] for node in body.body if isinstance(node, ast.AnnAssign)]
    return names | {ast.unparse(target) for group in targets for target in group}


@pytest.mark.parametrize("page", CARDS, ids=lambda page: page.stem)
def test_what_a_card_names_exists(page: Path) -> None:
    named = code_of(page)
    assert named
    assert [(file, name) for file, name in named if name not in names_in(SOURCE / file)] == []


@pytest.mark.parametrize("page", CARDS, ids=lambda page: page.stem)
def test_a_card_has_its_parts_on_one_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [part for part in ("# ", "**Costs**", "**Results**", "**Fails**") if part not in text] == []
    assert len(text.splitlines()) <= 40


def test_the_index_names_every_detector_once() -> None:
    rows = [line.split("|")[2] for line in INDEX.read_text(encoding="utf-8").splitlines() if line.startswith("| [")]
    assert sorted(re.findall(r"`([^`]+)`", "".join(rows))) == sorted(DETECTORS)


def test_the_index_lists_every_card() -> None:
    assert sorted(re.findall(r"\]\(([\w-]+\.md)\)", INDEX.read_text(encoding="utf-8"))) == [page.name for page in CARDS]


@pytest.mark.parametrize("page", [INDEX, *CARDS], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """Pages of results are written by commands, table1.md for one; all others stand here."""
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith("../results/") and not (FOLDER / link).exists()] == []
