"""Finding volumes in folders: NIfTI files, one for each volume or one for each of its channels."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthcp.data.folder import named_files, natural_key, unique_ids
from synthcp.data.nifti import SUFFIXES
from synthcp.errors import DataError

CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
"""How nnU-Net names the files of the channels of one volume: CASE_0000.nii.gz, CASE_0001.nii.gz."""


@dataclass(frozen=True)
class VolumeFile:
    """A volume to be scored; the id is unique among those found together and is a valid relative path.

    Attributes:
        id: Its name without the suffix, and without nnU-Net's channel.
        paths: Its file, or one for each channel.
    """

    id: str
    paths: tuple[Path, ...]


def find_volumes(inputs: Sequence[Path]) -> list[VolumeFile]:
    """Find the volumes among files and in folders (those that end in .nii or .nii.gz, in sub-folders too).

    Hidden files are left out, a file given twice counts once, and the order is the natural one of the ids. Files of one
    folder that end in _0000, _0001 and so on, without a gap, are the channels of one volume. An id is the path inside
    the given folder without suffix and channel; ids that two volumes would share are made longer.

    Raises:
        DataError: An input does not exist or is no NIfTI file, or a folder holds none.
    """
    names, paths = named_files(inputs, _expand)
    volumes = _grouped(names)
    ids = unique_ids({files[0]: [case, names[files[0]].as_posix()] for case, files in volumes})
    found = [VolumeFile(ids[files[0]], tuple(paths[file] for file in files)) for _, files in volumes]
    return sorted(found, key=lambda volume: natural_key(volume.id))


def is_volume(path: Path) -> bool:
    """Whether a file is a volume, by its name."""
    return path.name.lower().endswith(SUFFIXES)


def without_suffix(name: str) -> str:
    """Return the name of a NIfTI file without .nii or .nii.gz."""
    return re.sub(r"\.nii(\.gz)?$", "", name, flags=re.IGNORECASE)


def volumes_in(folder: Path) -> list[Path]:
    """The volumes of a folder and its sub-folders; hidden files, such as "._name" of macOS, are left out."""
    inside = [path for path in folder.rglob("*") if is_volume(path) and path.is_file()]
    return sorted(path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _expand(item: Path) -> list[Path]:
    """The volumes that one input stands for."""
    if item.is_dir():
        found = volumes_in(item)
        if not found:
            raise DataError(f"{item} holds no volume; put files in it that end in {' or '.join(SUFFIXES)}")
        return found
    if not item.is_file():
        raise DataError(f"{item}: no such file or folder; check the path")
    if not is_volume(item):
        raise DataError(f"{item} is no volume; a volume is a file that ends in {' or '.join(SUFFIXES)}")
    return [item]


def _grouped(names: Mapping[str, Path]) -> list[tuple[str, list[str]]]:
    """The files of every volume, with its name; channels in their order."""
    channels: dict[tuple[str, str], dict[int, str]] = {}  # folder and case -> channel -> file
    alone: list[tuple[str, list[str]]] = []
    for file, name in names.items():
        stem = without_suffix(name.as_posix())
        match = CHANNEL.fullmatch(stem)
        if match:
            channels.setdefault((os.path.dirname(file), match["case"]), {})[int(match["channel"])] = file
        else:
            alone.append((stem, [file]))
    for (_, case), files in channels.items():
        if sorted(files) == list(range(len(files))):
            alone.append((case, [files[channel] for channel in range(len(files))]))
        else:
            alone += [(f"{case}_{channel:04d}", [file]) for channel, file in files.items()]
    return alone
