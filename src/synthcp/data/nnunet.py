"""The raw layout of nnU-Net v2 (Isensee et al., 2021): one file for each channel of a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthcp.data.base import Dataset, Source
from synthcp.data.classes import make_classes
from synthcp.data.files import SampleFiles
from synthcp.data.nifti import SUFFIXES
from synthcp.data.volume_dataset import (
    VolumeDataset,
    describes,
    read_description,
    require_cases,
    split_cases,
    volume_files,
)
from synthcp.data.volume_preparation import OPTIONS, VolumePreparation
from synthcp.errors import DataError
from synthcp.records import Classes
from synthcp.system.files import read_json
from synthcp.system.spec import whole_number

LAYOUT = (
    "nnU-Net's layout is imagesTr/CASE_0000.nii.gz (_0001 and on for more channels), labelsTr/CASE.nii.gz and "
    'dataset.json with "channel_names", "labels": {"background": 0, ...} and "file_ending"'
)


class NnUNet(VolumeDataset):
    """The cases of labelsTr, or of imagesTs ("unlabelled").

    With ROOT/splits_final.json, train and val are those of one of its folds. Without it, the labelled cases are split
    in natural order: train, val, test. "all" are all labelled cases. A label "ignore" is the ignore index.

    Args:
        root: Of one data set, such as nnUNet_raw/Dataset007_Pancreas.
        split: "train", "val", "test", "all" or "unlabelled".
        preparation: How values become an image.
        fold: Of splits_final.json.

    Raises:
        DataError: A part of the layout is missing or malformed, labels are regions, or there is no such split.
    """

    def __init__(
        self, root: Path, split: str = "train", preparation: VolumePreparation | None = None, fold: int = 0
    ) -> None:
        content = read_description(root, {"channel_names": dict, "labels": dict, "file_ending": str}, LAYOUT)
        ending, channels = content["file_ending"], len(content["channel_names"])
        if ending not in SUFFIXES:
            raise DataError(f"{root} has files that end in {ending!r}; {' and '.join(SUFFIXES)} are read; convert them")
        if split == "unlabelled":
            cases = [_case(root, "Ts", case, ending, channels) for case in _unlabelled(root, ending)]
        else:
            names = _names(root / "labelsTr", ending)
            labelled = [_case(root, "Tr", case, ending, channels) for case in names]
            cases = _split(root, labelled, split, fold)
        kept = require_cases(root, split, cases)
        super().__init__(_classes(root, content["labels"]), kept, preparation or VolumePreparation())


def _classes(root: Path, labels: Mapping[str, Any]) -> Classes:
    path = root / "dataset.json"
    regions = [name for name, index in labels.items() if isinstance(index, list)]
    if regions:
        raise DataError(
            f"{path}: {regions[0]!r} is a region, of several labels that overlap; a class is one label; list the "
            "labels themselves"
        )
    if not all(isinstance(index, int) for index in labels.values()):
        raise DataError(f'{path}: "labels" must give an index for each name, {{"background": 0}}; {LAYOUT}')
    ignore_index = labels.get("ignore", 255)
    entries = [{"index": index, "name": name} for name, index in labels.items() if name != "ignore"]
    return make_classes(path, entries, ignore_index, background=0)


def _names(folder: Path, ending: str) -> list[str]:
    """Of the files in a folder, without their ending; what macOS leaves beside them ("._name") is left out."""
    if not folder.is_dir():
        raise DataError(f"{folder} is missing; {LAYOUT}")
    names = (path.name for path in folder.iterdir())
    return sorted(name.removesuffix(ending) for name in names if name.endswith(ending) and not name.startswith("."))


def _unlabelled(root: Path, ending: str) -> list[str]:
    names = _names(root / "imagesTs", ending)
    return [name.removesuffix("_0000") for name in names if name.endswith("_0000")]


def _case(root: Path, part: str, name: str, ending: str, channels: int) -> SampleFiles:
    images = tuple(root / f"images{part}" / f"{name}_{channel:04d}{ending}" for channel in range(channels))
    return volume_files(images, root / "labelsTr" / f"{name}{ending}" if part == "Tr" else None, name)


def _split(root: Path, cases: Sequence[SampleFiles], split: str, fold: int) -> list[SampleFiles]:
    path = root / "splits_final.json"
    if split == "all" or not path.is_file():
        return split_cases(root, cases, split)
    folds = read_json(path, LAYOUT, DataError)
    if not isinstance(folds, list) or not 0 <= fold < len(folds) or not isinstance(folds[fold], dict):
        raise DataError(f"{path} has no fold {fold}; it must hold a list of folds, counted from 0; choose fold=NUMBER")
    if split not in folds[fold]:
        raise DataError(f"{path} has no split {split!r}; choose one of {', '.join([*folds[fold], 'all'])}")
    names = folds[fold][split]
    if not isinstance(names, list):
        raise DataError(f"{path}: the split {split!r} of fold {fold} must be a list of cases; {LAYOUT}")
    return _named(path, {case.id: case for case in cases}, names)


def _named(path: Path, cases: Mapping[str, SampleFiles], names: Sequence[object]) -> list[SampleFiles]:
    for name in names:
        if not isinstance(name, str) or name not in cases:
            raise DataError(f"{path} names the case {name!r}, which labelsTr does not hold; correct one of them")
    return [cases[str(name)] for name in names]


def _open(root: Path, split: str, fold: int = 0, **options: Any) -> Dataset:
    return NnUNet(root, split, VolumePreparation(**options), fold)


SOURCE = Source(
    _open,
    {**OPTIONS, "fold": whole_number},
    signs='dataset.json with "channel_names"',
    recognises=lambda root: describes(root, "labels", "channel_names"),
)
