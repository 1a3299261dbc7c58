"""What is refused, and with which status of HTTP, before a pixel is decoded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthcp.data.decoding import claimed_size
from synthcp.data.finding import IMAGE_SUFFIXES
from synthcp.data.nifti import SUFFIXES, read_grid
from synthcp.errors import DataError, SynthCPError, shortened
from synthcp.ranges import check_ranges
from synthcp.segmentation.saved import SUFFIXES as PREDICTION_SUFFIXES

MEBIBYTE, MEGAPIXEL = 1 << 20, 10**6

TYPES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/bmp": ".bmp",
    "image/tiff": ".tif",
    "image/webp": ".webp",
    "application/gzip": ".nii.gz",
    "application/x-gzip": ".nii.gz",
    "application/nifti": ".nii",
    "application/x-nifti": ".nii",
    "application/x-npz": ".npz",
}
"""How a file is called, by its type; of one that is `UNTYPED` its name tells."""
UNTYPED = ("", "application/octet-stream")


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
    """What one request may ask for, and how many may be under way.

    Attributes:
        mebibytes: Of a body.
        megapixels: Of an image; of a volume millions of voxels.
        aspect: How many times as long as wide an image may be.
        seconds: From the first byte of a request to its answer.
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

    def require_size(self, path: Path, spatial_dims: int) -> None:
        """Judge the size that the header of a file claims; raises DataError."""
        size: Sequence[int] = read_grid(path).size if spatial_dims == 3 else claimed_size(path)
        shown = "x".join(map(str, size))
        if math.prod(size) > self.megapixels * MEGAPIXEL:
            parts = "voxels" if spatial_dims == 3 else "pixels"
            most = f"more than the {self.megapixels} million {parts} that this service takes"
            raise DataError(f"{path} is {shown}, {most}; make it smaller")
        if spatial_dims == 2 and max(size) > self.aspect * min(size):
            most = f"more than {self.aspect} times as long as wide, which this service does not take"
            raise DataError(f"{path} is {shown}, {most}; cut it into shorter ones")


def image_suffix(kind: str, name: str, spatial_dims: int) -> str:
    """How the file of an image is called by its type, or by its name where that tells nothing; raises Refused (415)."""
    known = SUFFIXES if spatial_dims == 3 else IMAGE_SUFFIXES
    return _suffix(kind, name, known, "a volume" if spatial_dims == 3 else "an image")


def prediction_suffix(kind: str, name: str) -> str:
    """As `image_suffix`, of a prediction."""
    return _suffix(kind, name, PREDICTION_SUFFIXES, "a prediction")


def _suffix(kind: str, name: str, known: Sequence[str], what: str) -> str:
    kind = kind.partition(";")[0].strip().lower()
    if kind in UNTYPED:
        suffix = next((end for end in known if name.lower().endswith(end)), "")
    else:
        suffix = TYPES.get(kind, "")
    if suffix not in known or not suffix:
        came = f"type {shortened(kind)}" if kind not in UNTYPED else f"type {shortened(kind)} of name {shortened(name)}"
        types = ", ".join(each for each, end in TYPES.items() if end in known)
        raise Refused(
            415, f"{came} is not that of {what}; send one of {types}, or a file that ends in {', '.join(known)}"
        )
    return suffix
