"""Data sets by SPEC, as on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from synthcp.data.base import Dataset
from synthcp.data.camvid import CamVid
from synthcp.data.folder import Folder
from synthcp.data.subset import only
from synthcp.errors import DataError, InputError
from synthcp.spec import Options, Spec, choices


@dataclass(frozen=True)
class Source:
    """How one kind of data set is opened: open(root, split, options), and the options that it takes."""

    open: Callable[[str, str, Options], Dataset]
    options: tuple[str, ...] = ("split", "ids")


def open_dataset(spec: str, split: str = "train") -> Dataset:
    """Open the data set that a SPEC names: "camvid:data/camvid", "folder:data/mine?split=val", "scenes:?count=40".

    Options: split, in place of the argument; ids=FILE keeps the images that a text file names, one id a line; for
    scenes (no ROOT) also count, seed and size=HEIGHTxWIDTH.

    Raises:
        InputError: Unknown name, unknown option or a value that cannot be read.
        DataError: The root is missing or is no such data set.
    """
    parts = Spec.parse(spec)
    if parts.name not in DATASETS:
        raise InputError(f"{spec}: no data set kind {parts.name!r}; {choices(parts.name, DATASETS)}")
    source = DATASETS[parts.name]
    options = parts.options(source.options)
    dataset = source.open(parts.root, split_of(spec, split), options)
    return only(dataset, Path(options["ids"]).expanduser()) if "ids" in options else dataset


def split_of(spec: str, split: str) -> str:
    """Return the split that open_dataset(spec, split) opens: the SPEC's own option comes first."""
    return dict(parse_qsl(Spec.parse(spec).query)).get("split", split)


def with_split(spec: str, split: str) -> str:
    """Return a SPEC with its split replaced."""
    place, _, query = spec.partition("?")
    others = [item for item in query.split("&") if item and not item.startswith("split=")]
    return f"{place}?{'&'.join([*others, f'split={split}'])}"


def _root(name: str, root: str) -> Path:
    if not root:
        raise DataError(f"{name} needs the folder of the data set: {name}:ROOT")
    path = Path(root).expanduser()
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; check the path after {name}:")
    return path


def _open_scenes(root: str, split: str, options: Options) -> Dataset:
    from synthcp.data.scenes import Scenes, ScenesConfig

    if root:
        raise InputError(f"scenes are drawn, not read from {root!r}; options follow a question mark: scenes:?count=40")
    default = ScenesConfig(split=split)
    height, width = _size(options["size"]) if "size" in options else (default.height, default.width)
    count = _number("count", options.get("count", str(default.count)))
    seed = _number("seed", options.get("seed", str(default.seed)))
    return Scenes(ScenesConfig(count=count, height=height, width=width, seed=seed, split=split))


def _number(key: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        raise InputError(f"{key}={text}: the value must be a whole number, such as {key}=40")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    sides = re.fullmatch(r"([0-9]+)x([0-9]+)", text)
    if not sides:
        raise InputError(f"size={text}: the value must be HEIGHTxWIDTH, such as size=96x128")
    return int(sides[1]), int(sides[2])


DATASETS: dict[str, Source] = {
    "folder": Source(lambda root, split, _: Folder(_root("folder", root), split)),
    "camvid": Source(lambda root, split, _: CamVid(_root("camvid", root), split)),
    "scenes": Source(_open_scenes, options=("split", "ids", "count", "seed", "size")),
}
