"""Cityscapes: streets of fifty cities with 19 classes (Cordts et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from synthcp.data.base import Source
from synthcp.data.files import FileDataset, SampleFiles, holds, require_parts, require_some, require_split
from synthcp.data.images import read_image
from synthcp.data.labels import Annotation, LabelValues
from synthcp.data.transforms import resize, resize_labels
from synthcp.errors import DataError
from synthcp.records import Classes
from synthcp.system.spec import choice

LAYOUT = (
    "Cityscapes (leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip) is read from leftImg8bit/{train,val}/CITY/"
    "NAME_leftImg8bit.png and gtFine/{train,val}/CITY/NAME_gtFine_labelIds.png, or ..._labelTrainIds.png"
)
FOLDERS = {"train": "train", "val": "val", "test": "val"}
SIZES = {"full": 1, "half": 2, "quarter": 4}
"""How many times smaller each side is."""
CLASSES = Classes(
    names=(
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
        "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ),
    colors=(
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
        (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
)  # fmt: skip
NO_LABEL = 255
VALUES = {
    "labelTrainIds": LabelValues(known=range(len(CLASSES)), anomaly=(), void=(NO_LABEL,)),
    "labelIds": LabelValues(
        known=(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
        anomaly=(),
        void=(*range(7), 9, 10, 14, 15, 16, 18, 29, 30, NO_LABEL),
    ),
}
"""What the values of a label file mean, by the last word of its name; an image that has both is read by the last."""


class Cityscapes(FileDataset):
    """One split; the group is the city, and the pixels of no class carry 255.

    The labels of the test images are not public: "test" opens the 500 images of val, as the paper does.

    Args:
        root: Holds leftImg8bit/ and gtFine/.
        split: "train", "val" or "test".
        size: Of `SIZES`: images and labels are made smaller; "half" reads 1024 x 512 of 2048 x 1024 pixels.

    Raises:
        DataError: No such split, a part of the layout is missing, or an image or a label has no partner.
    """

    def __init__(self, root: Path, split: str = "train", size: str = "full") -> None:
        require_split(root, split, FOLDERS)
        super().__init__(CLASSES, _pairs(root / "leftImg8bit" / FOLDERS[split], root / "gtFine" / FOLDERS[split]))
        self.shrink = SIZES[size]

    def image(self, files: SampleFiles) -> Tensor:
        """Read the image of one sample, averaged over the pixels that become one."""
        image = read_image(files.image)
        return resize(image, self._shrunk(image.shape[1:])).clamp(max=1)  # a mean of ones may be rounded up

    def annotation(self, files: SampleFiles) -> Annotation:
        """Read the label map of one sample, by the nearest pixel centre."""
        assert files.label_map is not None
        values = VALUES[files.label_map.stem.rpartition("_")[2]]
        label_map = values.annotation(files.label_map, NO_LABEL).label_map
        assert label_map is not None
        return Annotation(resize_labels(label_map, self._shrunk(label_map.shape)))

    def _shrunk(self, shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(side // self.shrink for side in shape)


def _pairs(images: Path, labels: Path) -> list[SampleFiles]:
    require_parts((images.parent, labels.parent, images, labels), LAYOUT)
    photos = _by_place(images, "leftImg8bit")
    truths = _by_place(labels, *(f"gtFine_{kind}" for kind in VALUES))
    require_some(photos, images, "image", LAYOUT)
    seen, known = ({place.partition("/")[0] for place in side} | set(side) for side in (photos, truths))
    alone = sorted(seen ^ known)  # a city comes before its images
    if alone:
        here, there = (images, labels) if alone[0] in seen else (labels, images)
        raise DataError(f"{alone[0]} is in {here} but not in {there}; {LAYOUT}")
    places = {place: place.split("/") for place in photos}
    return [SampleFiles(name, photos[place], truths[place], group=city) for place, (city, name) in places.items()]


def _by_place(folder: Path, *endings: str) -> dict[str, Path]:
    """The files of one kind by CITY/NAME; of the last ending where there are several."""
    return {
        f"{path.parent.name}/{path.name.removesuffix(f'_{ending}.png')}": path
        for ending in endings
        for path in folder.glob(f"[!.]*/[!.]*_{ending}.png")
    }


SOURCE = Source(
    Cityscapes,
    {"size": choice(*SIZES)},
    signs="leftImg8bit/ and gtFine/",
    recognises=lambda root: holds(root, "leftImg8bit", "gtFine"),
)
