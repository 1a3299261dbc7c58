"""SegmentMeIfYouCan: RoadAnomaly21 and RoadObstacle21 (Chan et al., NeurIPS Datasets and Benchmarks 2021)."""

from __future__ import annotations

from pathlib import Path

from synthcp.data.base import Source
from synthcp.data.files import FileDataset, SampleFiles, holds, require_some, require_split
from synthcp.data.finding import group_of, images_directly_in
from synthcp.data.labels import KNOWN_OR_ANOMALY, ZERO_ONE

LAYOUT = (
    "SegmentMeIfYouCan (dataset_AnomalyTrack or dataset_ObstacleTrack) is read from images/NAME.{jpg,png,webp} and "
    "labels_masks/NAME_labels_semantic.png"
)
SPLITS = ("val", "test")


class SegmentMeIfYouCan(FileDataset):
    """One track: split "val" has the images with public labels, "test" those without, for score files.

    In label files, 0 is known, 1 the anomaly, 255 outside the region of interest. There are no label maps.

    Raises:
        DataError: No such split, a part of the layout is missing, or no image is in the split.
    """

    def __init__(self, root: Path, split: str = "val") -> None:
        require_split(root, split, SPLITS)
        images = images_directly_in(root / "images")
        require_some(images, root / "images", "image", LAYOUT)
        files = [file for file in map(_files, images) if (file.anomaly_mask is not None) == (split == "val")]
        what = "label of any image" if split == "val" else "image without a label"
        require_some(files, root / ("labels_masks" if split == "val" else "images"), what, LAYOUT)
        super().__init__(KNOWN_OR_ANOMALY, files, ZERO_ONE)


def _files(image: Path) -> SampleFiles:
    label = image.parent.parent / "labels_masks" / f"{image.stem}_labels_semantic.png"
    return SampleFiles(image.stem, image, anomaly_mask=label if label.is_file() else None, group=group_of(image.stem))


SOURCE = Source(
    SegmentMeIfYouCan,
    signs="images/ and labels_masks/",
    recognises=lambda root: holds(root, "images", "labels_masks"),
)
