"""The catalogue of the kinds of data sets, and how one is opened by its SPEC."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

from synthcp.data import (
    bdd_anomaly,
    camvid,
    cityscapes,
    decathlon,
    degradation,
    fishyscapes,
    folder,
    heldout,
    lost_and_found,
    nnunet,
    road_anomaly,
    smiyc,
    streethazards,
)
from synthcp.data.base import Dataset, Source
from synthcp.data.drawn import phantoms, scenes
from synthcp.data.subset import only
from synthcp.errors import DataError, InputError, shortened
from synthcp.system.spec import Options, Spec, choices, values

MOST_PARTS = 50
"""Of a SPEC around a SPEC around a SPEC, parted by colons."""
EVERY = ("split", "ids")
"""The options of every kind."""
DATASETS: dict[str, Source] = {
    "folder": folder.SOURCE,
    "camvid": camvid.SOURCE,
    "cityscapes": cityscapes.SOURCE,
    "scenes": scenes.SOURCE,
    "streethazards": streethazards.SOURCE,
    "bdd_anomaly": bdd_anomaly.SOURCE,
    "road_anomaly": road_anomaly.SOURCE,
    "smiyc": smiyc.SOURCE,
    "fishyscapes": fishyscapes.SOURCE,
    "lost_and_found": lost_and_found.SOURCE,
    "heldout": heldout.SOURCE,
    "phantoms": phantoms.SOURCE,
    "decathlon": decathlon.SOURCE,
    "nnunet": nnunet.SOURCE,
    "degraded": degradation.SOURCE,
}


def open_dataset(spec: str, split: str = "train") -> Dataset:
    """Open the data set that a SPEC names: "camvid:data/camvid", "folder:data/mine?split=val", "scenes:?count=40".

    docs/data.md has the layout and the options of each kind. Those of every kind: split, in place of the argument;
    ids=FILE keeps the images that a text file names, one id a line. Where the root is another SPEC, an option goes to
    each of the two that takes it.

    Raises:
        InputError: Unknown name, unknown option or a value that cannot be read.
        DataError: The root is missing or is no such data set.
    """
    if spec.count(":") > MOST_PARTS:
        raise InputError(
            f"SPEC {shortened(spec)} has more than {MOST_PARTS} parts; name at most a few data sets in one"
        )
    parts = Spec.parse(spec)
    source = _source(parts)
    options = parts.options(_known_options(parts))
    split = options.get("split", split)
    read = values(options, source.options)
    dataset = source.open(_root(parts, source, options, split), split, **read)
    kept = "ids" in options and source.root != "spec"  # else the SPEC within has kept them already
    return only(dataset, Path(options["ids"]).expanduser()) if kept else dataset


def split_of(spec: str, split: str) -> str:
    """Return the split that open_dataset(spec, split) opens: the SPEC's own option comes first."""
    return dict(parse_qsl(Spec.parse(spec).query)).get("split", split)


def with_split(spec: str, split: str) -> str:
    """Return a SPEC with its split replaced."""
    place, _, query = spec.partition("?")
    others = [item for item in query.split("&") if item and not item.startswith("split=")]
    return f"{place}?{'&'.join([*others, f'split={split}'])}"


def _source(parts: Spec) -> Source:
    if parts.name not in DATASETS:
        raise InputError(f"{parts.text}: no data set kind {parts.name!r}; {choices(parts.name, DATASETS)}")
    return DATASETS[parts.name]


def _known_options(parts: Spec) -> tuple[str, ...]:
    source = _source(parts)
    within = source.root == "spec" and parts.root
    return (*(_known_options(Spec.parse(parts.root)) if within else EVERY), *source.options)


def _root(parts: Spec, source: Source, options: Options, split: str) -> Path | Dataset | None:
    """What the source is opened with."""
    name, root = parts.name, parts.root
    if source.root == "nothing":
        if root:
            raise InputError(
                f"{name} are drawn, not read from {root!r}; options follow a question mark: {name}:?seed=1"
            )
        return None
    if not root:
        needed = "another data set" if source.root == "spec" else "the folder of the data set"
        raise DataError(f"{name} needs {needed}: {source.example or f'{name}:ROOT'}")
    if source.root == "spec":
        known = _known_options(Spec.parse(root))
        within = "&".join(f"{key}={value}" for key, value in options.items() if key in known)
        return open_dataset(f"{root}?{within}", split)
    path = Path(root).expanduser()
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; check the path after {name}:")
    return path
