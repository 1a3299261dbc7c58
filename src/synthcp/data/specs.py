"""Data sets by SPEC, as on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from synthcp.data.base import Dataset
from synthcp.data.bdd_anomaly import BddAnomaly
from synthcp.data.camvid import CamVid
from synthcp.data.fishyscapes import Fishyscapes
from synthcp.data.folder import Folder
from synthcp.data.heldout import HeldOutClasses, Leave
from synthcp.data.lost_and_found import LostAndFound
from synthcp.data.road_anomaly import RoadAnomaly
from synthcp.data.smiyc import SegmentMeIfYouCan
from synthcp.data.streethazards import StreetHazards, Treatment
from synthcp.data.subset import only
from synthcp.errors import DataError, InputError
from synthcp.spec import Options, Spec, choices

EVERY = ("split", "ids")
"""The options of every kind."""


@dataclass(frozen=True)
class Source:
    """How one kind of data set is opened.

    Attributes:
        open: open(root, split, options).
        options: Those that it takes besides `EVERY`.
        around: Whether its root is another SPEC, whose options it takes too.
    """

    open: Callable[[str, str, Options], Dataset]
    options: tuple[str, ...] = ()
    around: bool = False


def open_dataset(spec: str, split: str = "train") -> Dataset:
    """Open the data set that a SPEC names: "camvid:data/camvid", "folder:data/mine?split=val", "scenes:?count=40".

    docs/data.md has the layout of each kind. Options of every kind: split, in place of the argument; ids=FILE keeps the
    images that a text file names, one id a line. Options of one kind:

    - scenes (no ROOT): count, seed and size=HEIGHTxWIDTH.
    - streethazards: unlabeled=known|void and other=known|void; bdd_anomaly: unlabeled=known|void.
    - road_anomaly: scene=NAME,NAME. fishyscapes: images=FOLDER. smiyc, lost_and_found: none.
    - heldout, whose ROOT is another SPEC: classes=NAME,NAME, leave=images|pixels, with_anomaly=PIXELS, and the
      options of that SPEC: "heldout:camvid:data/camvid?classes=Bicyclist".

    Raises:
        InputError: Unknown name, unknown option or a value that cannot be read.
        DataError: The root is missing or is no such data set.
    """
    parts = Spec.parse(spec)
    source = _source(parts)
    options = parts.options(_known_options(parts))
    dataset = source.open(parts.root, split_of(spec, split), options)
    kept = "ids" in options and not source.around  # else the SPEC within has kept them already
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
    return (_known_options(Spec.parse(parts.root)) if source.around and parts.root else EVERY) + source.options


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


def _open_streethazards(root: str, split: str, options: Options) -> Dataset:
    unlabeled, other = _treatment("unlabeled", options), _treatment("other", options)
    return StreetHazards(_root("streethazards", root), split, unlabeled, other)


def _open_bdd_anomaly(root: str, split: str, options: Options) -> Dataset:
    return BddAnomaly(_root("bdd_anomaly", root), split, _treatment("unlabeled", options))


def _open_road_anomaly(root: str, split: str, options: Options) -> Dataset:
    return RoadAnomaly(_root("road_anomaly", root), split, _names(options.get("scene", "")))


def _open_fishyscapes(root: str, split: str, options: Options) -> Dataset:
    images = Path(options["images"]).expanduser() if "images" in options else None
    if images and not images.is_dir():
        raise DataError(f"{images}: no such folder; images= names the folder of the images")
    return Fishyscapes(_root("fishyscapes", root), split, images)


def _open_held_out(root: str, split: str, options: Options) -> Dataset:
    names = _names(options.get("classes", ""))
    if not (root and names):
        raise InputError("heldout needs a labelled data set and classes: heldout:camvid:ROOT?classes=Bicyclist")
    leave: Leave = "pixels" if _choice("leave", options, ("images", "pixels")) == "pixels" else "images"
    with_anomaly = _number("with_anomaly", options.get("with_anomaly", "0"))
    within = "&".join(f"{key}={value}" for key, value in options.items() if key not in HELD_OUT_OPTIONS)
    return HeldOutClasses(open_dataset(f"{root}?{within}", split), names, split, leave, with_anomaly)


def _treatment(key: str, options: Options) -> Treatment:
    return "void" if _choice(key, options, ("known", "void")) == "void" else "known"


def _choice(key: str, options: Options, known: tuple[str, ...]) -> str:
    """The value of an option that has few; the first is the default."""
    value = options.get(key, known[0])
    if value not in known:
        raise InputError(f"{key}={value}: no such value; {choices(value, known)}")
    return value


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _number(key: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        raise InputError(f"{key}={text}: the value must be a whole number, such as {key}=40")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    sides = re.fullmatch(r"([0-9]+)x([0-9]+)", text)
    if not sides:
        raise InputError(f"size={text}: the value must be HEIGHTxWIDTH, such as size=96x128")
    return int(sides[1]), int(sides[2])


HELD_OUT_OPTIONS = ("classes", "leave", "with_anomaly")
DATASETS: dict[str, Source] = {
    "folder": Source(lambda root, split, _: Folder(_root("folder", root), split)),
    "camvid": Source(lambda root, split, _: CamVid(_root("camvid", root), split)),
    "scenes": Source(_open_scenes, ("count", "seed", "size")),
    "streethazards": Source(_open_streethazards, ("unlabeled", "other")),
    "bdd_anomaly": Source(_open_bdd_anomaly, ("unlabeled",)),
    "road_anomaly": Source(_open_road_anomaly, ("scene",)),
    "smiyc": Source(lambda root, split, _: SegmentMeIfYouCan(_root("smiyc", root), split)),
    "fishyscapes": Source(_open_fishyscapes, ("images",)),
    "lost_and_found": Source(lambda root, split, _: LostAndFound(_root("lost_and_found", root), split)),
    "heldout": Source(_open_held_out, HELD_OUT_OPTIONS, around=True),
}
