"""Which file belongs to which image, when both are named by their paths: one to one, or to none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from synthcp.errors import DataError

CHANNEL = "_0000"
"""nnU-Net's channel number at the end of an image's name, which a prediction goes without."""


def pair(ids: Collection[str], files: Mapping[str, Path]) -> dict[str, str]:
    """Find the key of each image among those of the files; images that have none are left out.

    A key belongs to the image of that very id. Otherwise the end of both paths decides, the longest that they share:
    no other key and no other image may end so. Hence a name without its folder matches only where it is the only one of
    its kind on both sides.

    Args:
        ids: Of the images, all that there are.
        files: By their key, the path without suffix.

    Raises:
        DataError: Two files could be that of one image, or two images claim one file.
    """
    same = {sample_id: sample_id.removesuffix(CHANNEL) for sample_id in ids}
    endings, taken = _by_ending(files), _by_ending(same.values())
    found = {sample_id: _key(sample_id, short, endings, taken, files) for sample_id, short in same.items()}
    pairs = {sample_id: key for sample_id, key in found.items() if key is not None}
    _require_once(pairs, files)
    return pairs


def agree(sample_id: str, key: str) -> bool:
    """Whether one of two paths is the end of the other, so that no folder speaks against them."""
    one, other = f"/{sample_id.removesuffix(CHANNEL)}", f"/{key.removesuffix(CHANNEL)}"
    return one.endswith(other) or other.endswith(one)


def _key(
    sample_id: str,
    short: str,
    endings: Mapping[str, list[str]],
    taken: Mapping[str, list[str]],
    files: Mapping[str, Path],
) -> str | None:
    exact = next((key for key in (sample_id, short) if key in files), None)
    if exact is not None:
        return exact
    ending = next((ending for ending in _endings(short) if ending in endings), "")
    if len(endings.get(ending, ())) > 1 and len(taken[ending]) == 1:
        first, second = (files[key] for key in endings[ending][:2])
        raise DataError(f"{first} and {second} could both be the prediction of {sample_id}; keep one")
    return endings[ending][0] if ending and len(taken[ending]) == 1 else None


def _by_ending(paths: Iterable[str]) -> defaultdict[str, list[str]]:
    found = defaultdict[str, list[str]](list)
    for path in paths:
        for ending in _endings(path):
            found[ending].append(path)
    return found


def _endings(path: str) -> Iterator[str]:
    """The ends of a path, the longest first: a/b/c, b/c, c."""
    parts = path.split("/")
    return ("/".join(parts[first:]) for first in range(len(parts)))


def _require_once(pairs: Mapping[str, str], files: Mapping[str, Path]) -> None:
    owners = defaultdict[str, list[str]](list)
    for sample_id, key in pairs.items():
        owners[key].append(sample_id)
    for key, several in owners.items():
        if len(several) > 1:
            raise DataError(
                f"{several[0]} and {several[1]} both claim {files[key]}; a file serves one image; name it after one"
            )
