"""What is refused, and with which status of HTTP, before anything is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synthcp.errors import SynthCPError, shortened
from synthcp.ranges import check_ranges

MEBIBYTE, MEGAPIXEL = 1 << 20, 10**6

Types = dict[str, tuple[str, ...]]
"""How files end, by their type; the first ending is that of a file without a name."""

IMAGES: Types = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "image/bmp": (".bmp",),
    "image/tiff": (".tif", ".tiff"),
    "image/webp": (".webp",),
}
VOLUMES: Types = {
    "application/gzip": (".nii.gz",),
    "application/x-gzip": (".nii.gz",),
    "application/nifti": (".nii",),
    "application/x-nifti": (".nii",),
}
PREDICTIONS: Types = {"application/x-npz": (".npz",), "image/png": (".png",)} | VOLUMES
_UNTYPED = ("", "application/octet-stream")
"""Types that tell nothing, so that the name must."""


class Refused(SynthCPError):
    """A request that is not answered as it asks.

    Args:
        code: Status of HTTP.
        message: What came, the rule, the remedy, in one line.
        headers: Of the answer.
    """

    def __init__(self, code: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and how many images may be under way.

    Attributes:
        mebibytes: Of a body.
        megapixels: Of an image; of a volume millions of voxels.
        aspect: How many times as long as wide an image may be.
        seconds: From the head of a request to its answer.
        queue: Images that are received, wait and are judged, together.
        batch: Images of one size that the networks see at once.

    Raises:
        InputError: A number is outside its range.
    """

    mebibytes: int = 64
    megapixels: int = 50
    aspect: int = 32
    seconds: int = 30
    queue: int = 64
    batch: int = 8

    def __post_init__(self) -> None:
        check_ranges(self, mebibytes=(1, 4096), megapixels=(1, 500), aspect=(1, 4000), seconds=(1, 3600))
        check_ranges(self, queue=(1, 10_000), batch=(1, 1024))


def suffix_of(kind: str, name: str, types: Types) -> str:
    """Return how a file ends, by its type, or by its name where that tells nothing; raises Refused (415)."""
    kind = kind.partition(";")[0].strip().lower()
    endings = [ending for known in types.values() for ending in known]
    if kind in types:
        return types[kind][0]
    if kind in _UNTYPED and name.lower().endswith(tuple(endings)):
        return next(ending for ending in endings if name.lower().endswith(ending))
    came = f"{shortened(name)} of type {shortened(kind)}" if name else f"a file of type {shortened(kind)}"
    raise Refused(415, f"{came} is not taken; send one of type {', '.join(types)}, or a name in {', '.join(endings)}")
