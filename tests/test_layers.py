"""The arrows of docs/architecture.md: which room of the package may import which."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FILES = sorted(SOURCE.glob("synthcp/**/*.py"))

OPEN = {"records", "errors", "ranges", "__version__"}
NETWORKS = {"nn", "segmentation", "synthesis", "comparison"}
LEARNING = NETWORKS | {"system", "data", "metrics", "training", "config"}
FITTED = LEARNING | {"monitor", "fitting"}
PRODUCT = FITTED | {"rivals", "evaluation", "report", "verbs"}

# A room is a folder or a file directly below synthcp. Each may import the rooms or modules named here, itself, and
# what is in OPEN; what is in OPEN imports nothing else.
ARROWS: dict[str, set[str]] = {
    "system": set(),
    "nn": {"system"},
    "metrics": set(),
    "data": {"system"},
    "segmentation": {"nn", "system", "data.images", "data.nifti"},
    "synthesis": {"nn"},
    "comparison": {"nn", "metrics.overlap", "segmentation.base", "synthesis.base"},
    "training": NETWORKS | {"system", "data", "metrics"},
    "config": NETWORKS | {"system", "training"},
    "evaluation": {"nn", "system", "data", "metrics", "segmentation.base", "comparison.base", "comparison.long_images"},
    "monitor": LEARNING,
    "fitting": LEARNING | {"monitor"},
    "rivals": FITTED,
    "report": {"system", "data", "metrics", "monitor", "evaluation", "config.values"},
    "verbs": PRODUCT - {"verbs"},
    "doctor": FITTED,
    "experiments": PRODUCT,
    "cli": PRODUCT | {"doctor", "experiments"},
    "__init__": PRODUCT,
    "__main__": {"cli"},
}

PICKLE_READERS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "torch.load"}


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room_of(module: str) -> str:
    """`nn` of synthcp.nn.spade; `__init__` of synthcp itself."""
    return module.partition(".")[2].partition(".")[0] or "__init__"


def imported_names(source: str, package: str) -> Iterator[str]:
    """Full names of everything imported, also inside functions and for type checking only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            yield from (f"{importlib.util.resolve_name(relative, package)}.{alias.name}" for alias in node.names)


def is_below(name: str, parents: set[str]) -> bool:
    return any(f"{name}.".startswith(f"{parent}.") for parent in parents)


def broken_arrows(source: str, module: str, package: str) -> list[str]:
    room = room_of(module)
    allowed = ARROWS.get(room, set())
    targets = [name for name in imported_names(source, package) if is_below(name, {"synthcp"})]
    return [
        f"{module} imports {target}: {room} may import {', '.join(sorted(allowed)) or 'nothing'}"
        for target in targets
        if not is_below(target.removeprefix("synthcp."), allowed | OPEN | {room})
    ]


def pickle_readers(source: str) -> set[str]:
    """Names in the source through which a pickle could be read."""
    nodes = list(ast.walk(ast.parse(source)))
    dotted = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    keywords = {ast.unparse(node) for node in nodes if isinstance(node, ast.keyword)}
    names = dotted | set(imported_names(source, "synthcp"))
    return {name for name in names if is_below(name, PICKLE_READERS)} | (keywords & {"allow_pickle=True"})


def test_every_room_is_in_the_table() -> None:
    unknown = {room_of(module_of(path)) for path in FILES} - set(ARROWS) - OPEN
    assert not unknown, f"new rooms {sorted(unknown)}: add them to ARROWS in tests/test_layers.py"


def test_the_table_names_no_room_that_is_gone() -> None:
    gone = set(ARROWS) - {room_of(module_of(path)) for path in FILES}
    assert not gone, f"no such rooms {sorted(gone)}: take them out of ARROWS in tests/test_layers.py"


def test_every_import_follows_an_arrow() -> None:
    broken = []
    for path in FILES:
        module = module_of(path)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        broken += broken_arrows(path.read_text(encoding="utf-8"), module, package)
    assert not broken, "\n" + "\n".join(broken)


def test_the_house_stays_small() -> None:
    loose = list((SOURCE / "synthcp").glob("*.py"))
    assert len(ARROWS) <= 20 and len(loose) <= 6


def test_arrows_make_no_circle() -> None:
    rooms = {room: {name.partition(".")[0] for name in allowed} for room, allowed in ARROWS.items()}
    TopologicalSorter(rooms).prepare()


def test_only_the_program_imports_the_command_line() -> None:
    assert [room for room, allowed in ARROWS.items() if "cli" in allowed] == ["__main__"]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("from synthcp.comparison.y import Z", "synthcp.comparison.y.Z"),
        ("import synthcp.comparison.y", "synthcp.comparison.y"),
        ("from synthcp import comparison", "synthcp.comparison"),
        ("from ..comparison import y", "synthcp.comparison.y"),
        ("def f():\n    import synthcp.cli", "synthcp.cli"),
        ("if TYPE_CHECKING:\n    from synthcp.data.base import Dataset", "synthcp.data.base.Dataset"),
    ],
)
def test_an_import_against_the_arrows_is_named(source: str, target: str) -> None:
    assert broken_arrows(source, "synthcp.nn.x", "synthcp.nn") == [
        f"synthcp.nn.x imports {target}: nn may import system"
    ]


def test_an_import_along_the_arrows_passes() -> None:
    source = "import torch\nfrom synthcp.records import Sample\nfrom synthcp.segmentation.base import Segmenter"
    assert broken_arrows(source, "synthcp.comparison.x", "synthcp.comparison") == []
    assert broken_arrows("from .y import Z", "synthcp.nn.x", "synthcp.nn") == []


def test_a_module_arrow_opens_that_module_alone() -> None:
    source = "from synthcp.segmentation.deeplab import DeepLab"
    assert broken_arrows(source, "synthcp.comparison.x", "synthcp.comparison") == [
        "synthcp.comparison.x imports synthcp.segmentation.deeplab.DeepLab: "
        "comparison may import metrics.overlap, nn, segmentation.base, synthesis.base"
    ]


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_pickle_is_read(path: Path) -> None:
    assert pickle_readers(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("source", "reader"),
    [
        ("import pickle", "pickle"),
        ("from dill import load", "dill.load"),
        ("import torch\ntorch.load('weights.pt', weights_only=True)", "torch.load"),
        ("from torch import load", "torch.load"),
        ("np.load('logits.npy', allow_pickle=True)", "allow_pickle=True"),
    ],
)
def test_a_reader_of_pickles_is_named(source: str, reader: str) -> None:
    assert pickle_readers(source) == {reader}


def test_the_command_line_starts_without_torch() -> None:
    statement = "import sys, synthcp.cli; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "False", "importing synthcp.cli imports torch: move that import into the verb"
