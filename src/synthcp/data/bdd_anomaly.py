"""BDD-Anomaly: BDD100K's segmentation images, with trains and two-wheelers unknown (Hendrycks et al., 2019, "CAOS")."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from synthcp.data.base import Source
from synthcp.data.cityscapes import CLASSES
from synthcp.data.files import FileDataset, SampleFiles, holds, require_file, require_some, require_split
from synthcp.data.finding import images_directly_in
from synthcp.data.heldout import HeldOutClasses
from synthcp.data.labels import LabelValues
from synthcp.data.streethazards import Treatment
from synthcp.system.spec import choice

LAYOUT = "BDD100K is read from seg/images/{train,val}/NAME.jpg and seg/labels/{train,val}/NAME_train_id.png"
FOLDERS = {"train": ("train",), "val": ("val",), "test": ("train", "val")}
ANOMALIES = CLASSES.names[16:]  # of the classes of Cityscapes
NO_LABEL = 255


class BddAnomaly(HeldOutClasses):
    """One split: an image that holds a train, a motorcycle or a bicycle is a test image, wherever it lay.

    Of BDD100K's folders train and val, the other images make up "train" and "val"; the paper counts 6688 and 951, and
    361 test images. Every label file of a split's folders is read once to tell them apart.

    Args:
        root: Holds seg/.
        split: "train", "val" or "test".
        unlabeled: Whether pixels of no class (255) count as known pixels when anomalies are judged, as in the
            benchmark's own protocol, or lie outside the region of interest ("void").

    Raises:
        DataError: No such split, a part of the layout is missing, or no image is in the split.
    """

    def __init__(self, root: Path, split: str = "train", unlabeled: Treatment = "known") -> None:
        require_split(root, split, FOLDERS)
        outside = (NO_LABEL,) if unlabeled == "void" else ()
        values = LabelValues(known=range(len(CLASSES)), anomaly=(), void=(NO_LABEL,), outside=outside)
        files = [file for folder in FOLDERS[split] for file in _files(root / "seg", folder)]
        like = "test" if split == "test" else "train"  # validation images hold no anomaly either
        super().__init__(FileDataset(CLASSES, files, values), ANOMALIES, like, with_anomaly=1)


def _files(root: Path, folder: str) -> list[SampleFiles]:
    images = images_directly_in(root / "images" / folder)
    require_some(images, root / "images" / folder, "image", LAYOUT)
    return [_file(image, root / "labels" / folder) for image in images]


def _file(image: Path, labels: Path) -> SampleFiles:
    label = require_file(labels / f"{image.stem}_train_id.png", image, LAYOUT)
    return SampleFiles(image.stem, image, label, label, group=image.stem.partition("-")[0])  # VIDEO-FRAME


SOURCE = Source(
    BddAnomaly,
    {"unlabeled": choice(*get_args(Treatment))},
    signs="seg/images/ and seg/labels/",
    recognises=lambda root: holds(root, "seg/images", "seg/labels"),
)
