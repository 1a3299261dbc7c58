"""StreetHazards: drawn streets with objects that no training image holds (Hendrycks et al., 2019, "CAOS")."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from synthcp.data.base import Source
from synthcp.data.files import FileDataset, SampleFiles, holds, require_file, require_parts, require_split
from synthcp.data.finding import find_images, group_of
from synthcp.data.labels import LabelValues
from synthcp.records import Classes
from synthcp.system.spec import choice

LAYOUT = (
    "StreetHazards (streethazards_train.tar and streethazards_test.tar) is read from train/images/{training,validation}"
    "/TOWN/NAME.png and test/images/test/TOWN/NAME.png, with the labels at the same place under annotations/"
)
FOLDERS = {"train": ("train", "training"), "val": ("train", "validation"), "test": ("test", "test")}
CLASSES = Classes(
    names=(
        "unlabeled", "building", "fence", "other", "pedestrian", "pole", "road line", "road", "sidewalk", "vegetation",
        "car", "wall", "traffic sign",
    ),
    colors=(
        (0, 0, 0), (70, 70, 70), (190, 153, 153), (250, 170, 160), (220, 20, 60), (153, 153, 153), (157, 234, 50),
        (128, 64, 128), (244, 35, 232), (107, 142, 35), (0, 0, 142), (102, 102, 156), (220, 220, 0),
    ),
)  # fmt: skip
NO_LABEL, UNLABELED, OTHER, ANOMALY = 0, 1, 4, 14

Treatment = Literal["known", "void"]


class StreetHazards(FileDataset):
    """One split; the group is the town. In label files, 1 to 13 are the classes, 14 is the anomaly, 0 no label.

    Args:
        root: Holds train/ and test/, as the two archives unpack.
        split: "train", "val" or "test".
        unlabeled: Whether pixels without a label and of the class "unlabeled" count as known pixels when anomalies are
            judged, as in the benchmark's own protocol, or lie outside the region of interest ("void").
        other: The same for the class "other"; DenseHybrid (Grcic et al., 2022) leaves it out.

    Raises:
        DataError: No such split, or a part of the layout is missing.
    """

    def __init__(
        self, root: Path, split: str = "train", unlabeled: Treatment = "known", other: Treatment = "known"
    ) -> None:
        require_split(root, split, FOLDERS)
        part, name = FOLDERS[split]
        images, labels = root / part / "images" / name, root / part / "annotations" / name
        require_parts((images, labels), LAYOUT)
        treatments = {NO_LABEL: unlabeled, UNLABELED: unlabeled, OTHER: other}
        outside = [value for value, treatment in treatments.items() if treatment == "void"]
        values = LabelValues(known=range(1, 14), anomaly=(ANOMALY,), void=(NO_LABEL,), outside=outside)
        super().__init__(CLASSES, [_files(image.id, image.paths[0], labels) for image in find_images([images])], values)


def _files(sample_id: str, image: Path, labels: Path) -> SampleFiles:
    label = require_file(labels / f"{sample_id}.png", image, LAYOUT)
    return SampleFiles(sample_id, image, label, label, group=group_of(sample_id))


def _recognises(root: Path) -> bool:
    """One of its archives may be there alone."""
    return any(holds(root, f"{part}/images/{name}", f"{part}/annotations/{name}") for part, name in FOLDERS.values())


SOURCE = Source(
    StreetHazards,
    {"unlabeled": choice(*get_args(Treatment)), "other": choice(*get_args(Treatment))},
    signs="train/images/training/ or test/images/test/, and the same below annotations/",
    recognises=_recognises,
)
