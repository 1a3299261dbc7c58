"""Lost and Found: small things lost on the road ahead of the car (Pinggera et al., IROS 2016)."""

from __future__ import annotations

from pathlib import Path

from synthcp.data.base import Source
from synthcp.data.files import FileDataset, SampleFiles, holds, require_file, require_some, require_split
from synthcp.data.labels import KNOWN_OR_ANOMALY, LabelValues

LAYOUT = (
    "Lost and Found is read from leftImg8bit/{train,test}/STREET/NAME_leftImg8bit.png and "
    "gtCoarse/{train,test}/STREET/NAME_gtCoarse_labelIds.png, or ..._labelTrainIds.png"
)
SPLITS = ("train", "test")
VALUES = LabelValues(known=(1,), anomaly=range(2, 201), void=(0, 255), outside=(0, 255))
LABELS = ("labelIds", "labelTrainIds")


class LostAndFound(FileDataset):
    """One split; the group is the street. There are no label maps.

    In label files, 1 is free road, 2 to 200 are lost objects, and the rest (0 and 255) lies outside the region of
    interest: the road alone is judged, and in an image whose label file is all 0 (6 in train, 17 in test) nothing.

    Raises:
        DataError: No such split, or a part of the layout is missing.
    """

    def __init__(self, root: Path, split: str = "test") -> None:
        require_split(root, split, SPLITS)
        images = sorted((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.*"))
        require_some(images, root / "leftImg8bit" / split, "image", LAYOUT)
        super().__init__(KNOWN_OR_ANOMALY, [_files(image, root / "gtCoarse" / split) for image in images], VALUES)


def _files(image: Path, labels: Path) -> SampleFiles:
    name, street = image.stem.removesuffix("_leftImg8bit"), image.parent.name
    options = [labels / street / f"{name}_gtCoarse_{kind}.png" for kind in LABELS]
    label = next((path for path in options if path.is_file()), options[0])
    return SampleFiles(name, image, anomaly_mask=require_file(label, image, LAYOUT), group=street)


SOURCE = Source(
    LostAndFound,
    signs="leftImg8bit/ and gtCoarse/",
    recognises=lambda root: holds(root, "leftImg8bit", "gtCoarse"),
)
