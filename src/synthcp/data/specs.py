"""The catalogue of the kinds of data sets, and how one is opened by its SPEC."""

from __future__ import annotations

import os
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
from synthcp.system.spec import Options, Spec, choices, path_of, values
from synthcp.system.telling import tell

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

    Where only a folder is named, "data/camvid" or "data/mine?split=val", its layout says which kind it is, and which
    one was taken is told. docs/data.md has the layout and the options of each kind. Those of every kind: split, in
    place of the argument; ids=FILE keeps the images that a text file names, one id a line. Where the root is another
    SPEC, an option goes to each of the two that takes it.

    Raises:
        InputError: Unknown name, unknown option or a value that cannot be read.
        DataError: The root is missing or is no such data set, or a folder could be of several kinds, or of none.
    """
    parts = Spec.parse(full_spec(spec))
    source = _source(parts)
    options = parts.options(_known_options(parts))
    split = options.get("split", split)
    read = values(options, source.options)
    dataset = source.open(_root(parts, source, options, split), split, **read)
    kept = "ids" in options and source.root != "spec"  # else the SPEC within has kept them already
    return only(dataset, path_of(options["ids"])) if kept else dataset


def full_spec(spec: str) -> str:
    """Return a SPEC with its kind, for it to be kept: of a folder alone the kind that its layout shows, which is told.

    Raises:
        InputError: It names neither a kind nor a folder, or far too many.
        DataError: The folder has the layout of several kinds, or of none.
    """
    if spec.count(":") > MOST_PARTS:
        raise InputError(
            f"SPEC {shortened(spec)} has more than {MOST_PARTS} parts; name at most a few data sets in one"
        )
    parts = Spec.parse(spec)
    if parts.name not in DATASETS:
        place = spec.partition("?")[0]
        return f"{_recognised(place)}:{spec}" if is_folder(place) else spec
    if DATASETS[parts.name].root == "spec" and parts.root:
        return f"{parts.name}:{full_spec(spec.partition(':')[2])}"
    return spec


def is_folder(place: str) -> bool:
    """Whether a text is the path of a folder; what can be no path at all is none."""
    return bool(place) and os.path.isdir(path_of(place))


def _recognised(place: str) -> str:
    """The one kind whose layout a folder has; never a guess among several."""
    root = path_of(place)
    kinds = [kind for kind, source in DATASETS.items() if source.recognises(root)]
    if not kinds:
        known = "; ".join(f"{kind}: {source.signs}" for kind, source in DATASETS.items() if source.signs)
        raise DataError(f"{place} has the layout of no kind of data that is known ({known}); write KIND:{place}")
    if len(kinds) > 1:
        choose = " or ".join(f"{kind}:{place}" for kind in kinds)
        raise DataError(f"{place} has the layout of several kinds of data; say which it is: {choose}")
    tell(f"{place} is read as {kinds[0]}:{place}, for it holds {DATASETS[kinds[0]].signs}")
    return kinds[0]


def name_of(spec: str) -> str:
    """Return a name for what is made of the data of a SPEC with its kind: that of their folder, or of what is drawn."""
    parts = Spec.parse(spec)
    root = _source(parts).root
    if root == "spec" and parts.root:
        return name_of(parts.root)
    return (path_of(parts.root).resolve().name if root == "folder" else "") or parts.name


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
        raise InputError(
            f"{parts.text}: no such folder, and no data set kind {parts.name!r}; {choices(parts.name, DATASETS)}"
        )
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
    path = path_of(root)
    if not is_folder(root):
        raise DataError(f"{path}: no such folder; check the path after {name}:")
    return path
