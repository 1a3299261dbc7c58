"""Finding images and volumes among files and in folders, and what their names say."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from synthcp.data.nifti import SUFFIXES
from synthcp.errors import DataError
from synthcp.system.telling import tell
from synthcp.system.walk import walk

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp")
PAGED = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
"""Formats of which a file may hold several images; only the first is read."""
CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
"""How nnU-Net names the files of the channels of one volume: CASE_0000.nii.gz, CASE_0001.nii.gz."""


@dataclass(frozen=True)
class Input:
    """An image or a volume among files.

    Attributes:
        id: Its path without the suffix; unique among those found together, a valid relative path.
        paths: Its file, or one for each channel of a volume.
    """

    id: str
    paths: tuple[Path, ...]

    @property
    def source(self) -> str:
        """Its first file."""
        return str(self.paths[0])


def find_images(inputs: Sequence[Path]) -> list[Input]:
    """Find the images among files (taken whatever their suffix) and in folders (by suffix, sub-folders too).

    A file given twice counts once, and the order is the natural one of the ids. Links are followed; what a folder holds
    besides is left out, and told in one line, as are the later pages of a file. An id is the path inside the given
    folder without suffix; where two files would share it, it keeps the suffix, and if that does not help, the path from
    the folder that all inputs have in common.

    Raises:
        DataError: An input does not exist, or a folder holds no image.
    """
    files = _files(inputs, IMAGE_SUFFIXES, "image")
    _tell_later_pages([path for _, path in files.values()])
    ids = _unique({key: [name.with_suffix("").as_posix(), name.as_posix()] for key, (name, _) in files.items()})
    return _in_order(Input(ids[key], (path,)) for key, (_, path) in files.items())


def find_volumes(inputs: Sequence[Path]) -> list[Input]:
    """Find the volumes among files and in folders (those that end in .nii or .nii.gz, in sub-folders too).

    As `find_images`, but files of one folder that end in _0000, _0001 and so on, without a gap, are the channels of one
    volume, whose id goes without them.

    Raises:
        DataError: An input does not exist or is no NIfTI file, or a folder holds none.
    """
    files = _files(inputs, SUFFIXES, "volume")
    for name, path in files.values():
        if not is_volume(name):
            raise DataError(f"{path} is no volume; a volume is a file that ends in {' or '.join(SUFFIXES)}")
    volumes = _grouped({key: without_suffix(name.as_posix()) for key, (name, _) in files.items()})
    ids = _unique({keys[0]: [case, files[keys[0]][0].as_posix()] for case, keys in volumes})
    return _in_order(Input(ids[keys[0]], tuple(files[key][1] for key in keys)) for _, keys in volumes)


def files_in(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES, deep: bool = True) -> list[Path]:
    """The files of a folder and its sub-folders by suffix; whatever else is there is left out, and told.

    Args:
        folder: None are in one that does not exist.
        suffixes: In lower case.
        deep: Whether sub-folders are read.
    """
    if not folder.is_dir():
        return []
    walked = walk(folder, deep=deep)
    kept = walked.keep(suffixes)
    walked.tell()
    return kept


def images_directly_in(folder: Path) -> list[Path]:
    """The images of a folder, without those of its sub-folders; none when there is no such folder."""
    return files_in(folder, deep=False)


def is_volume(path: Path) -> bool:
    """Whether a file is a volume, by its name."""
    return path.name.lower().endswith(SUFFIXES)


def without_suffix(name: str) -> str:
    """Return the name of a NIfTI file without .nii or .nii.gz."""
    return re.sub(r"\.nii(\.gz)?$", "", name, flags=re.IGNORECASE)


def grouped_by(name: Callable[[Path], str], paths: Iterable[Path]) -> dict[str, list[Path]]:
    """The files by what they are called, which several may share."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(name(path), []).append(path)
    return found


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Sort key with numbers by value: frame2 before frame10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)], text


def group_of(sample_id: str) -> str:
    """Group of a sample: the id before a last "_" or "-" and digits, or else the parent folder ("" at the top).

    "0016E5_00390" -> "0016E5", "Oslo/drive-2_017" -> "Oslo/drive-2", "Oslo/night" -> "Oslo".
    """
    numbered = re.fullmatch(r"(.*[^/])[_-]\d+", sample_id)
    return numbered.group(1) if numbered else sample_id.rpartition("/")[0]


def _files(inputs: Sequence[Path], suffixes: tuple[str, ...], kind: str) -> dict[str, tuple[Path, Path]]:
    """By absolute path: the path inside the input, and the path as it was given.

    A file that is found again behind a link to its folder counts once; a link to a file is a file of its own.
    """
    files: dict[str, tuple[Path, Path]] = {}
    known = set[Path]()
    for item in inputs:
        for path in _expanded(item, suffixes, kind):
            place = path.parent.resolve() / path.name
            if place not in known:
                known.add(place)
                files[os.path.abspath(path)] = path.relative_to(item) if path != item else Path(path.name), path
    return files


def _expanded(item: Path, suffixes: tuple[str, ...], kind: str) -> list[Path]:
    """The files that one input stands for."""
    if item.is_file():
        return [item]
    if not item.is_dir():
        came = "is neither a file nor a folder" if item.exists() else "no such file or folder"
        raise DataError(f"{item}: {came}; check the path")
    found = files_in(item, suffixes)
    if not found:
        raise DataError(f"{item} holds no {kind}; put files in it that end in {' or '.join(suffixes)}")
    return found


def _tell_later_pages(files: Iterable[Path]) -> None:
    """Name the files of which only the first image is read."""
    paged = [path for path in files if _has_later_pages(path)]
    if paged:
        tell(f"of {len(paged)} files with several images, such as {paged[0]}, only the first is read; split the files")


def _has_later_pages(path: Path) -> bool:
    """Whether a file holds more than one image, by its header; a damaged one is told when it is read."""
    known = PAGED.get(path.suffix.lower())
    if known is None:
        return False
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            path.open("rb") as stream,
            Image.open(stream, formats=[known]) as file,
        ):
            return bool(getattr(file, "is_animated", False))
    except Exception:  # decoders raise nearly anything on damaged bytes
        return False


def _unique(names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """An id for each file: the first of its names that no other could take, else its path from the common folder."""
    common = os.path.commonpath([os.path.dirname(path) for path in names])
    options = {path: [*own, Path(path).relative_to(common).as_posix()] for path, own in names.items()}
    takers = Counter(option for choice in options.values() for option in set(choice))
    # The last name is unique among last names, and nobody settles for an earlier one that has two takers.
    return {
        path: next((option for option in choice if takers[option] == 1), choice[-1]) for path, choice in options.items()
    }


def _in_order(found: Iterable[Input]) -> list[Input]:
    return sorted(found, key=lambda item: natural_key(item.id))


def _grouped(names: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """The name and the files of every volume, by the names of all files; channels in their order."""
    channels: dict[tuple[str, str], dict[int, str]] = {}  # folder and case -> channel -> file
    volumes: list[tuple[str, list[str]]] = []
    for file, name in names.items():
        match = CHANNEL.fullmatch(name)
        if match:
            channels.setdefault((os.path.dirname(file), match["case"]), {})[int(match["channel"])] = file
        else:
            volumes.append((name, [file]))
    for (_, case), files in channels.items():
        if sorted(files) == list(range(len(files))):
            volumes.append((case, [files[channel] for channel in range(len(files))]))
        else:
            volumes += [(f"{case}_{channel:04d}", [file]) for channel, file in files.items()]
    return volumes
