"""Data sets whose samples are read from image files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.finding import natural_key
from synthcp.data.images import read_image, read_label_map, read_mask
from synthcp.data.labels import Annotation, LabelValues
from synthcp.errors import DataError
from synthcp.records import Classes, Sample


@dataclass(frozen=True)
class SampleFiles:
    """The files of one sample; a part that does not exist is None.

    Attributes:
        id: Of the sample.
        image: The file of its image.
        label_map: Class indices, or what `LabelValues` says that they are.
        anomaly_mask: True where not 0, or what `LabelValues` says; with these, one file may be both.
        group: Of the sample.
        channels: Files of further channels, of a volume.
    """

    id: str
    image: Path
    label_map: Path | None = None
    anomaly_mask: Path | None = None
    group: str = ""
    channels: tuple[Path, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [path for path in (self.image, self.label_map, self.anomaly_mask, *self.channels) if path is not None]


class FileDataset(Dataset):
    """Samples that are read from files, in natural order of their ids.

    Args:
        classes: The label set.
        files: Of every sample.
        values: What the values of the anomaly masks mean; None where masks and label maps are files of their own.
        stored: What the values of the label maps mean; None where they are the indices of the classes.

    Raises:
        DataError: Two samples share an id, or a label file.
    """

    def __init__(
        self,
        classes: Classes,
        files: Iterable[SampleFiles],
        values: LabelValues | None = None,
        stored: LabelValues | None = None,
    ) -> None:
        self.classes = classes
        self.files = sorted(files, key=lambda sample: natural_key(sample.id))
        _require_pairs(self.files)
        self.ids = [sample.id for sample in self.files]
        self.values = values
        self.stored = stored

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; raises DataError, naming the file, when it cannot be read or its mask has another size."""
        files = self.files[index]
        image, truth = self.image(files), self.annotation(files)
        _check_size(files, image, truth.anomaly_mask)
        return Sample(files.id, image, truth.label_map, truth.anomaly_mask, files.group, truth.roi)

    @property
    def groups(self) -> list[str]:
        """The group of every sample, in order."""
        return [sample.group for sample in self.files]

    @property
    def read_from(self) -> list[Path]:
        """Every file of every sample."""
        return [path for sample in self.files for path in sample.paths]

    def label_map(self, index: int) -> Tensor | None:
        """Read the label map of one sample."""
        return self.annotation(self.files[index]).label_map

    def image(self, files: SampleFiles) -> Tensor:
        """Read the image of one sample, shape (C, *S)."""
        return read_image(files.image)

    def annotation(self, files: SampleFiles) -> Annotation:
        """Read what is known about one sample."""
        label_map, anomaly_mask = files.label_map, files.anomaly_mask
        if self.values is not None and anomaly_mask is not None:
            return self.values.annotation(anomaly_mask, self.classes.ignore_index if label_map else None)
        return Annotation(
            self._indices(label_map) if label_map else None, read_mask(anomaly_mask) if anomaly_mask else None
        )

    def _indices(self, path: Path) -> Tensor | None:
        if self.stored is None:
            return read_label_map(path)
        return self.stored.annotation(path, self.classes.ignore_index).label_map


def require_split(root: Path, split: str, known: Iterable[str]) -> None:
    """Raise DataError when a split is none of those that a data set has."""
    if split not in known:
        raise DataError(f"{root} has no split {split!r}; choose one of {', '.join(known)}: add ?split=NAME to the SPEC")


def require_file(path: Path, image: Path, layout: str) -> Path:
    """Return the label file of an image; raises DataError when there is none."""
    if not path.is_file():
        raise DataError(f"{path} is missing, the label of {image}; {layout}")
    return path


def only_one(images: Sequence[Path], asking: Path) -> Path:
    """Return the only image of a name; raises DataError when several have it, any of which might be meant."""
    if len(images) > 1:
        raise DataError(f"{images[0]} and {images[1]} could both be what {asking} means; keep or rename one")
    return images[0]


def read_text(path: Path, remedy: str) -> str:
    """Read a text in UTF-8, with or without a byte order mark; raises DataError, with the remedy, when it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no text file ({error}); {remedy}, in UTF-8") from error


def holds(root: Path, *parts: str) -> bool:
    """Whether every one of these folders and files is there."""
    return all((root / part).exists() for part in parts)


def require_parts(paths: Iterable[Path], layout: str) -> None:
    """Raise DataError when a part of a layout does not exist."""
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} is missing; {layout}")


def require_some(found: Collection[object], place: Path, what: str, layout: str) -> None:
    """Raise DataError when nothing was found."""
    if not found:
        raise DataError(f"{place} holds no {what}; {layout}")


def _require_pairs(samples: Sequence[SampleFiles]) -> None:
    """Images and labels are paired one to one."""
    for first, second in pairwise(samples):
        if first.id == second.id:
            raise DataError(f"{first.image} and {second.image} are both called {first.id}; keep or rename one")
    owners: dict[Path, Path] = {}
    for sample in samples:
        for label in {sample.label_map, sample.anomaly_mask} - {None}:
            assert label is not None
            if owners.setdefault(label, sample.image) != sample.image:
                raise DataError(
                    f"{label} is the label of {owners[label]} and of {sample.image}; a file serves one image"
                )


def _check_size(files: SampleFiles, image: Tensor, mask: Tensor | None) -> None:
    if mask is not None and mask.shape != image.shape[1:]:
        (height, width), (mask_height, mask_width) = image.shape[1:], mask.shape
        raise DataError(
            f"{files.anomaly_mask} is {mask_width}x{mask_height}, its image {files.image} {width}x{height}; a mask has "
            "the size of its image; resize the mask to the nearest pixel"
        )
