"""Road Anomaly: photos of roads with animals, lost cargo and the like (Lis et al., ICCV 2019)."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from synthcp.data.base import Source
from synthcp.data.files import FileDataset, SampleFiles, holds, require_file, require_some, require_split
from synthcp.data.finding import group_of, images_directly_in
from synthcp.data.images import read_label_map
from synthcp.data.labels import KNOWN_OR_ANOMALY, ZERO_ONE, LabelValues
from synthcp.errors import DataError, InputError
from synthcp.system.spec import choices, name_list

LAYOUT = (
    "Road Anomaly is read from frames/NAME.jpg with frames/NAME.labels/labels_semantic.png (2 = anomaly), as released, "
    "or from images/NAME.jpg with labels/NAME.png (1 = anomaly)"
)
RELEASED = LabelValues(known=(0, 1), anomaly=(2,), void=(255,), outside=(255,))


class RoadAnomaly(FileDataset):
    """All frames, to test with; there are no label maps.

    Args:
        root: Holds frames/, or images/ and labels/.
        split: Only "test".
        scene: Keeps the frames of these scenes, by the columns name and scene of manifest.csv; empty keeps all.

    Raises:
        InputError: A scene that manifest.csv does not name.
        DataError: Another split, a part of the layout is missing, or manifest.csv is needed and is not usable.
    """

    def __init__(self, root: Path, split: str = "test", scene: Sequence[str] = ()) -> None:
        require_split(root, split, ("test",))
        released = (root / "frames").is_dir()
        images = images_directly_in(root / ("frames" if released else "images"))
        require_some(images, root, "frame", LAYOUT)
        if scene:
            images = _of_scenes(images, root / "manifest.csv", scene)
        files = [_files(image, root, released) for image in images]
        super().__init__(KNOWN_OR_ANOMALY, files, RELEASED if released else ZERO_ONE)


def _files(image: Path, root: Path, released: bool) -> SampleFiles:
    inside = image.with_suffix(".labels") / "labels_semantic.png"
    label = inside if released else root / "labels" / f"{image.stem}.png"
    return SampleFiles(image.stem, image, anomaly_mask=require_file(label, image, LAYOUT), group=group_of(image.stem))


def _of_scenes(images: Sequence[Path], manifest: Path, scenes: Sequence[str]) -> list[Path]:
    scene_of = _read_scenes(manifest)
    known = sorted(set(scene_of.values()))
    for scene in scenes:
        if scene not in known:
            raise InputError(f"scene={scene}: {manifest} has no such scene; {choices(scene, known)}")
    for image in images:
        if image.stem not in scene_of:
            raise DataError(f"{image} is not in {manifest}; add a line with its name and scene, or leave out scene=")
    return [image for image in images if scene_of[image.stem] in scenes]


def _read_scenes(manifest: Path) -> Mapping[str, str]:
    """The scene of every frame by its name."""
    if not manifest.is_file():
        raise DataError(f"{manifest}: no such file; scene= needs it, with the columns name and scene")
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as lines:
            rows = [(row["name"], row["scene"]) for row in csv.DictReader(lines, restval="")]
    except KeyError as error:
        raise DataError(f"{manifest} has no column {error}; scene= needs the columns name and scene") from error
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{manifest} is not readable as CSV ({error}); correct the file") from error
    twice = [name for name, times in Counter(name for name, _ in set(rows)).items() if times > 1]
    if twice:
        raise DataError(f"{manifest} puts {twice[0]} in several scenes; a frame belongs to one; keep one line of it")
    return dict(rows)


def _recognises(root: Path) -> bool:
    """Its own layout, or pairs that say of no class, all of them masks as far as the first one tells."""
    if any((root / "frames").glob("*.labels")):
        return True
    if (root / "classes.json").exists() or not holds(root, "images", "labels"):
        return False
    masks = images_directly_in(root / "labels")[:1]
    meanings = {*ZERO_ONE.known, *ZERO_ONE.anomaly, *ZERO_ONE.void}
    return any(set(torch.unique(read_label_map(mask)).tolist()) <= meanings for mask in masks)


SOURCE = Source(
    RoadAnomaly,
    {"scene": name_list},
    signs="frames/NAME.labels/, or images/ with masks of 0 and 1 in labels/",
    recognises=_recognises,
)
