"""The layout of the Medical Segmentation Decathlon (Antonelli et al., 2022): dataset.json lists every file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from synthcp.data.preparation import VolumePreparation
from synthcp.data.volume_dataset import CaseFiles, VolumeDataset, classes_of, in_order, read_description, split_cases
from synthcp.data.volumes import without_suffix
from synthcp.errors import DataError
from synthcp.records import Classes

LAYOUT = (
    "the Decathlon's layout is imagesTr/NAME.nii.gz, labelsTr/NAME.nii.gz and dataset.json with "
    '"labels": {"0": "background", ...} and "training": [{"image": FILE, "label": FILE}, ...]'
)


class Decathlon(VolumeDataset):
    """The cases that dataset.json lists; files of several channels are 4D.

    The labelled cases ("training") are split in natural order: train, val, test, all; "unlabelled" are those of "test".

    Args:
        root: Of one task, such as Task07_Pancreas.
        split: "train", "val", "test", "all" or "unlabelled".
        preparation: How values become an image.

    Raises:
        DataError: dataset.json is missing or malformed, lists a file that is missing, or there is no such split.
    """

    def __init__(self, root: Path, split: str = "train", preparation: VolumePreparation | None = None) -> None:
        unlabelled = split == "unlabelled"
        content = read_description(root, ["labels", "test" if unlabelled else "training"], LAYOUT)
        if unlabelled:
            cases = _cases(root, content["test"], labelled=False)
        else:
            cases = split_cases(root, in_order(_cases(root, content["training"], labelled=True)), split)
        super().__init__(_classes(root, content["labels"]), cases, preparation or VolumePreparation())


def _classes(root: Path, labels: Any) -> Classes:
    path = root / "dataset.json"
    proper = isinstance(labels, dict) and all(key.isdecimal() for key in labels)
    if not proper or not all(isinstance(name, str) for name in labels.values()):
        raise DataError(f'{path}: "labels" must give a name for each index, {{"0": "background"}}; {LAYOUT}')
    return classes_of(path, {int(key): name for key, name in labels.items()})


def _cases(root: Path, entries: Any, labelled: bool) -> Iterable[CaseFiles]:
    """The listed files; what macOS leaves beside them ("._name") is left out."""
    if not isinstance(entries, list):
        raise DataError(f'{root / "dataset.json"}: "{"training" if labelled else "test"}" must be a list; {LAYOUT}')
    cases = [_case(root, entry, labelled) for entry in entries]
    return [case for case in cases if not case.image[0].name.startswith(".")]


def _case(root: Path, entry: Any, labelled: bool) -> CaseFiles:
    entry = {"image": entry} if isinstance(entry, str) else entry
    keys = ("image", "label") if labelled else ("image",)
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in keys):
        raise DataError(f"{root / 'dataset.json'}: the entry {entry!r} does not name {' and '.join(keys)}; {LAYOUT}")
    image = root / entry["image"]
    return CaseFiles(without_suffix(image.name), (image,), root / entry["label"] if labelled else None)
