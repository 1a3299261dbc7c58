"""The files of a request, on disk under names of our own: what a client calls them opens nothing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from synthcp.errors import shown
from synthcp.service.judge import IMAGE, PREDICTION
from synthcp.service.limits import Refused, image_suffix, prediction_suffix

_LONGEST_NAME = 200
_FIELDS = 8
"""Parts that are no files, which are refused by name."""


@dataclass(frozen=True)
class Upload:
    """An image of a request.

    Attributes:
        name: By which the client calls it, without folder and suffix.
        folder: Of its own; it holds the image and its prediction.
        suffix: Of the image's file.
    """

    name: str
    folder: Path
    suffix: str


@dataclass(frozen=True)
class Uploading:
    """What a request may bring.

    Attributes:
        most: How many images.
        spatial_dims: Of an image.
        predictions: Whether each comes with a prediction.
        new_folder: Gives an empty one.
    """

    most: int
    spatial_dims: int
    predictions: bool
    new_folder: Callable[[], Path]

    async def __call__(self, request: Request) -> list[Upload]:
        """Receive the images of a request.

        Raises:
            Refused: Of another type (415), with parts that there are not, or with too many or too few files (422).
        """
        kind = request.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "multipart/form-data":
            return [await self._bare(request, kind)]
        async with request.form(max_files=2 * self.most, max_fields=_FIELDS) as form:
            return await asyncio.to_thread(self._parts, form)

    async def _bare(self, request: Request, kind: str) -> Upload:
        """An image that is the whole body."""
        suffix = image_suffix(kind, "", self.spatial_dims)
        self._require_predictions(0, 1)
        folder = self.new_folder()
        with (folder / f"{IMAGE}{suffix}").open("wb") as file:
            async for chunk in request.stream():
                file.write(chunk)
        return Upload(IMAGE, folder, suffix)

    def _parts(self, form: FormData) -> list[Upload]:
        odd = [name for name, part in form.multi_items() if name not in (IMAGE, PREDICTION) or isinstance(part, str)]
        if odd:
            raise Refused(422, f"{_short(odd[0])!r} is no part of a request; send files as image and prediction alone")
        images, predictions = _named(form.getlist(IMAGE)), _named(form.getlist(PREDICTION))
        if not 1 <= len(images) <= self.most:
            raise Refused(422, f"{len(images)} parts are called image; send 1 to {self.most}, each under its name")
        self._require_predictions(len(predictions), len(images))
        if self.most == 1:
            predictions = dict(zip(images, predictions.values(), strict=False))
        lacking = sorted(images.keys() ^ predictions.keys()) if predictions else []
        if lacking:
            raise Refused(422, f"{lacking[0]!r} is the name of an image or of a prediction alone; name both alike")
        return [self._kept(name, image, predictions.get(name)) for name, image in images.items()]

    def _require_predictions(self, came: int, images: int) -> None:
        if came != images and self.predictions:
            told = f"{came} predictions came with {images} images, and the monitor judges those of another program"
            raise Refused(422, f"{told}; send one of each image as a part called prediction")
        if came and not self.predictions:
            raise Refused(422, "a prediction came, but the monitor has a model of its own; leave it out")

    def _kept(self, name: str, image: UploadFile, prediction: UploadFile | None) -> Upload:
        suffix = image_suffix(image.content_type or "", image.filename or "", self.spatial_dims)
        folder = self.new_folder()
        _copy(image, folder / f"{IMAGE}{suffix}")
        if prediction is not None:
            end = prediction_suffix(prediction.content_type or "", prediction.filename or "")
            (folder / PREDICTION).mkdir()
            _copy(prediction, folder / PREDICTION / f"{IMAGE}{end}")
        return Upload(name, folder, suffix)


def _named(parts: list[Any]) -> dict[str, UploadFile]:
    """Files by what the client calls them, which no two of them may share."""
    named = dict[str, UploadFile]()
    for part in parts:
        name = _short(PurePosixPath((part.filename or "").replace("\\", "/")).name.partition(".")[0]) or IMAGE
        if name in named:
            raise Refused(422, f"two files of one kind are called {name!r}; give each a name of its own")
        named[name] = part
    return named


def _short(name: str) -> str:
    return shown(name[:_LONGEST_NAME])


def _copy(part: UploadFile, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(part.file, file)
