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
from synthcp.verbs.service.limits import PREDICTIONS, Refused, Types, suffix_of
from synthcp.verbs.service.order import IMAGE, PREDICTION, Asked, MapKind

_LONGEST_NAME = 200
_FIELDS = 8
"""Parts that are no files, which are refused by name."""


@dataclass(frozen=True)
class Uploading:
    """A request that brings images.

    Attributes:
        request: It.
        maps: Which maps are wanted.
        types: Of the images.
        predictions: Whether each comes with a prediction.
        new_folder: Gives an empty one.
    """

    request: Request
    maps: MapKind
    types: Types
    predictions: bool
    new_folder: Callable[[], Path]

    async def receive(self, most: int) -> list[Asked]:
        """Receive the images, up to so many.

        Raises:
            Refused: Of another type (415), with parts that there are not, or with too many or too few files (422).
        """
        kind = self.request.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "multipart/form-data":
            return [await self._bare(kind)]
        async with self.request.form(max_files=2 * most, max_fields=_FIELDS) as form:
            return await asyncio.to_thread(self._parts, form, most)

    async def _bare(self, kind: str) -> Asked:
        """An image that is the whole body."""
        asked = self._asked(IMAGE, suffix_of(kind, "", self.types))
        self._require_predictions(0, 1)
        with asked.path.open("wb") as file:
            async for chunk in self.request.stream():
                file.write(chunk)
        return asked

    def _parts(self, form: FormData, most: int) -> list[Asked]:
        odd = [name for name, part in form.multi_items() if name not in (IMAGE, PREDICTION) or isinstance(part, str)]
        if odd:
            raise Refused(422, f"{_short(odd[0])!r} is no part of a request; send files as image and prediction alone")
        images, predictions = _named(form.getlist(IMAGE)), _named(form.getlist(PREDICTION))
        if not 1 <= len(images) <= most:
            raise Refused(422, f"{len(images)} parts are called image; send 1 to {most}, each under its name")
        self._require_predictions(len(predictions), len(images))
        if most == 1:  # whose names need not be alike
            predictions = dict(zip(images, predictions.values(), strict=False))
        alone = sorted(images.keys() ^ predictions.keys()) if predictions else []
        if alone:
            raise Refused(422, f"{alone[0]!r} is the name of an image or of a prediction alone; name both alike")
        return [self._kept(name, image, predictions.get(name)) for name, image in images.items()]

    def _require_predictions(self, came: int, images: int) -> None:
        if came != images and self.predictions:
            told = f"{came} predictions came with {images} images, and the monitor judges those of another program"
            raise Refused(422, f"{told}; send one of each image as a part called prediction")
        if came and not self.predictions:
            raise Refused(422, "a prediction came, but the monitor has a model of its own; leave it out")

    def _kept(self, name: str, image: UploadFile, prediction: UploadFile | None) -> Asked:
        asked = self._asked(name, suffix_of(image.content_type or "", image.filename or "", self.types))
        _copy(image, asked.path)
        if prediction is not None:
            suffix = suffix_of(prediction.content_type or "", prediction.filename or "", PREDICTIONS)
            folder = Path(asked.folder) / PREDICTION
            folder.mkdir()
            _copy(prediction, folder / f"{IMAGE}{suffix}")
        return asked

    def _asked(self, name: str, suffix: str) -> Asked:
        return Asked(self.request.state.request_id, name, str(self.new_folder()), suffix, self.maps)


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
