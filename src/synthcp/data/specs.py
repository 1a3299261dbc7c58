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
from synthcp.data.cityscapes import SIZES, Cityscapes
from synthcp.data.decathlon import Decathlon
from synthcp.data.degradation import Degraded
from synthcp.data.fishyscapes import Fishyscapes
from synthcp.data.folder import Folder
from synthcp.data.heldout import HeldOutClasses, Leave
from synthcp.data.lost_and_found import LostAndFound
from synthcp.data.nnunet import NnUNet
from synthcp.data.preparation import VolumePreparation
from synthcp.data.road_anomaly import RoadAnomaly
from synthcp.data.smiyc import SegmentMeIfYouCan
from synthcp.data.streethazards import StreetHazards, Treatment
from synthcp.data.subset import only
from synthcp.errors import DataError, InputError
from synthcp.system.spec import Options, Spec, choices

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

    - scenes (no ROOT): count, seed and size=HEIGHTxWIDTH. phantoms (no ROOT): count, seed and size=XxYxZ.
    - cityscapes: size=full|half|quarter.
    - streethazards: unlabeled=known|void and other=known|void; bdd_anomaly: unlabeled=known|void.
    - road_anomaly: scene=NAME,NAME. fishyscapes: images=FOLDER. smiyc, lost_and_found: none.
    - heldout, whose ROOT is another SPEC: classes=NAME,NAME, leave=images|pixels, with_anomaly=PIXELS, and the
      options of that SPEC: "heldout:camvid:data/camvid?classes=Bicyclist".
    - decathlon and nnunet, of volumes: spacing=1x1x2 (mm) and window=NAME (`data.preparation.WINDOWS`); nnunet: fold.
    - degraded, whose ROOT is another SPEC: severity=LOW..HIGH and seed, which goes to that SPEC too where it takes one:
      "degraded:decathlon:data/Task07_Pancreas?severity=0.2..1".

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
    from synthcp.data.drawn.scenes import Scenes, ScenesConfig

    if root:
        raise InputError(f"scenes are drawn, not read from {root!r}; options follow a question mark: scenes:?count=40")
    default = ScenesConfig(split=split)
    sides = (default.height, default.width)
    height, width = _size(options["size"], "96x128", "HEIGHTxWIDTH") if "size" in options else sides
    count = _number("count", options.get("count", str(default.count)))
    seed = _number("seed", options.get("seed", str(default.seed)))
    return Scenes(ScenesConfig(count=count, height=height, width=width, seed=seed, split=split))


def _open_phantoms(root: str, split: str, options: Options) -> Dataset:
    from synthcp.data.drawn.phantoms import Phantoms, PhantomsConfig

    if root:
        raise InputError(
            f"phantoms are drawn, not read from {root!r}; options follow a question mark: phantoms:?seed=1"
        )
    default = PhantomsConfig(split=split)
    count = _number("count", options.get("count", str(default.count)))
    seed = _number("seed", options.get("seed", str(default.seed)))
    x, y, z = _size(options["size"], "32x32x24", "XxYxZ") if "size" in options else default.size
    return Phantoms(PhantomsConfig(count, (x, y, z), seed, split))


def _open_cityscapes(root: str, split: str, options: Options) -> Dataset:
    return Cityscapes(_root("cityscapes", root), split, SIZES[_choice("size", options, tuple(SIZES))])


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


def _open_decathlon(root: str, split: str, options: Options) -> Dataset:
    return Decathlon(_root("decathlon", root), split, _preparation(options))


def _open_nnunet(root: str, split: str, options: Options) -> Dataset:
    return NnUNet(_root("nnunet", root), split, _preparation(options), _number("fold", options.get("fold", "0")))


def _open_degraded(root: str, split: str, options: Options) -> Dataset:
    if not root:
        raise InputError("degraded needs another data set: degraded:decathlon:ROOT?severity=0.2..1")
    known = _known_options(Spec.parse(root))
    within = "&".join(f"{key}={value}" for key, value in options.items() if key in known)
    severity = _range("severity", options.get("severity", "0..1"))
    return Degraded(open_dataset(f"{root}?{within}", split), severity, _number("seed", options.get("seed", "0")))


def _preparation(options: Options) -> VolumePreparation:
    default = VolumePreparation()
    spacing = _spacing(options["spacing"]) if "spacing" in options else default.spacing
    return VolumePreparation(spacing, options.get("window", default.window))


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


def _spacing(text: str) -> tuple[float, float, float]:
    """Of all axes alike, or of each."""
    sides = text.split("x")
    if len(sides) not in (1, 3) or not all(re.fullmatch(DECIMAL, side) for side in sides):
        raise InputError(f"spacing={text}: the value must be millimetres, such as spacing=1x1x2 or spacing=1.5")
    x, y, z = map(float, sides * (3 // len(sides)))
    return x, y, z


def _range(key: str, text: str) -> tuple[float, float]:
    limits = re.fullmatch(rf"({DECIMAL})\.\.({DECIMAL})", text)
    if not limits:
        raise InputError(f"{key}={text}: the value must be LOW..HIGH, such as {key}=0.2..1")
    return float(limits[1]), float(limits[2])


def _size(text: str, example: str, form: str) -> list[int]:
    """The sides of an image or a volume, as many as in the example."""
    sides = text.split("x")
    if len(sides) != len(example.split("x")) or not all(re.fullmatch("[0-9]+", side) for side in sides):
        raise InputError(f"size={text}: the value must be {form}, such as size={example}")
    return [int(side) for side in sides]


DECIMAL = r"[0-9]+(?:\.[0-9]+)?"
VOLUME_OPTIONS = ("spacing", "window")
HELD_OUT_OPTIONS = ("classes", "leave", "with_anomaly")
DATASETS: dict[str, Source] = {
    "folder": Source(lambda root, split, _: Folder(_root("folder", root), split)),
    "camvid": Source(lambda root, split, _: CamVid(_root("camvid", root), split)),
    "cityscapes": Source(_open_cityscapes, ("size",)),
    "scenes": Source(_open_scenes, ("count", "seed", "size")),
    "streethazards": Source(_open_streethazards, ("unlabeled", "other")),
    "bdd_anomaly": Source(_open_bdd_anomaly, ("unlabeled",)),
    "road_anomaly": Source(_open_road_anomaly, ("scene",)),
    "smiyc": Source(lambda root, split, _: SegmentMeIfYouCan(_root("smiyc", root), split)),
    "fishyscapes": Source(_open_fishyscapes, ("images",)),
    "lost_and_found": Source(lambda root, split, _: LostAndFound(_root("lost_and_found", root), split)),
    "heldout": Source(_open_held_out, HELD_OUT_OPTIONS, around=True),
    "phantoms": Source(_open_phantoms, ("count", "seed", "size")),
    "decathlon": Source(_open_decathlon, VOLUME_OPTIONS),
    "nnunet": Source(_open_nnunet, (*VOLUME_OPTIONS, "fold")),
    "degraded": Source(_open_degraded, ("severity", "seed"), around=True),
}
