"""Fishyscapes validation sets: Lost and Found, and Static (Blum et al., IJCV 2021)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synthcp.data.base import Source
from synthcp.data.files import FileDataset, SampleFiles, only_one, require_some, require_split
from synthcp.data.finding import grouped_by
from synthcp.data.images import read_image
from synthcp.data.labels import KNOWN_OR_ANOMALY, ZERO_ONE
from synthcp.errors import DataError
from synthcp.system.npz import Shape, read_npz
from synthcp.system.spec import folder
from synthcp.system.walk import walk

LAYOUT = (
    "Fishyscapes is read from any number of files NUMBER_NAME_labels.png, as its archives unpack, and "
    "NAME_leftImg8bit.png of Lost and Found, or of Cityscapes for Static, below the same folder or below ?images=FOLDER"
)
LABEL_NAME = re.compile(r"(\d+_(.+))_labels\.png")


class Fishyscapes(FileDataset):
    """The validation images; the group is the street or city. There are no label maps.

    The archives hold labels alone, 0 known, 1 anomaly, 255 outside the region of interest. The images come from the
    data sets beneath: in Lost and Found as they are; in Static (1.0, 2.0 or 3.0, one version per root), a Cityscapes
    image plus the overlay NUMBER_NAME_rgb.npz beside the label.

    Args:
        root: Holds the label files, at any depth.
        split: Only "val"; the test labels are not public.
        images: Holds the images, at any depth; by default root.

    Raises:
        DataError: Another split, no label file, or an image is missing.
    """

    def __init__(self, root: Path, split: str = "val", images: Path | None = None) -> None:
        require_split(root, split, ("val",))
        labels = [path for path in walk(root).files if path.match("*_labels.png")]
        require_some(labels, root, "label file", LAYOUT)
        twice = next((name for name, times in Counter(path.name for path in labels).items() if times > 1), "")
        if twice:
            raise DataError(f"{root} holds {twice} twice; give every version of a set a root of its own")
        photos = (path for path in walk(images or root).files if path.match("*_leftImg8bit.*"))
        by_name = grouped_by(lambda path: path.name.partition("_leftImg8bit.")[0], photos)
        super().__init__(KNOWN_OR_ANOMALY, [_files(label, by_name) for label in labels], ZERO_ONE)

    def image(self, files: SampleFiles) -> Tensor:
        """Read the image of one sample, with its overlay where there is one."""
        image, overlay = read_image(files.image), _overlay(files)
        return image if overlay is None else _laid_over(image, overlay)


def _files(label: Path, photos: Mapping[str, Sequence[Path]]) -> SampleFiles:
    parts = LABEL_NAME.fullmatch(label.name)
    if parts is None or parts[2] not in photos:
        raise DataError(f"{label} has no image {parts[2] if parts else 'NAME'}_leftImg8bit.png; {LAYOUT}")
    photo = only_one(photos[parts[2]], label)
    return SampleFiles(parts[1], photo, anomaly_mask=label, group=photo.parent.name)


def _overlay(files: SampleFiles) -> Path | None:
    assert files.anomaly_mask is not None
    path = files.anomaly_mask.with_name(f"{files.id}_rgb.npz")
    return path if path.is_file() else None


def _laid_over(image: Tensor, path: Path) -> Tensor:
    """The image plus an overlay of differences, shape (H, W, 3) in -255 to 255, under the key "rgb"."""

    def require_shape(shape: Shape) -> None:
        if shape != (*image.shape[1:], len(image)):
            raise DataError(f"{path} is {shape} (H, W, C), its image {tuple(image.shape)}; use the original images")

    _, differences = read_npz(path, ("rgb",), require_shape)
    overlay = torch.from_numpy(differences.astype(np.float32)).permute(2, 0, 1) / 255
    return (image + overlay).clamp(0, 1)


def _recognises(root: Path) -> bool:
    """As its archives unpack, or in a folder of theirs: no deeper, for the tree of another kind may be large."""
    files = (path for pattern in ("*_labels.png", "*/*_labels.png") for path in root.glob(pattern))
    return any(LABEL_NAME.fullmatch(path.name) for path in files)


SOURCE = Source(Fishyscapes, {"images": folder}, signs="files NUMBER_NAME_labels.png", recognises=_recognises)
