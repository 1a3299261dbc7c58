"""What a client is told of an image: its row as `score` writes it, and on request its maps."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from pathlib import Path
from typing import Any

from torch import Tensor

from synthcp.data.nifti import Grid
from synthcp.errors import InputError
from synthcp.monitor.settings import MonitorSettings
from synthcp.records import Assessment
from synthcp.report.maps import flat_maps, maps_of, pictures_of, write_arrays, write_volumes
from synthcp.report.png import png_of
from synthcp.report.rows import ResultRow, row_values
from synthcp.verbs.service.answer import Answer
from synthcp.verbs.service.order import MapKind


def assessed(row: ResultRow, more: dict[str, Any]) -> Answer:
    """Tell what was found.

    Raises:
        InputError: A number that is always known is not finite.
    """
    if not all(map(math.isfinite, (row.error_share, *row.class_quality.values()))):
        raise InputError("the assessment holds a number that is NaN or infinite, so it is none; look at the monitor")
    body = json.dumps(row_values(row) | {"code": 200} | more, allow_nan=False)
    return Answer(200, body.encode(), row.decision)


def encoded_maps(
    kind: MapKind, folder: Path, image: Tensor, assessment: Assessment, settings: MonitorSettings, grid: Grid | None
) -> dict[str, str]:
    """Return the files of the maps of an image (C, *S) in base64, by their names, without the image itself.

    Args:
        kind: Pictures, of a volume of three planes; arrays; or NIfTI files, of a volume.
        folder: Empty, where files may be written.
        image: That was judged.
        assessment: Of it.
        settings: Of the monitor.
        grid: Of the file of a volume.
    """
    if kind == "none":
        return {}
    maps = {name: values for name, values in maps_of(image, assessment).items() if name != "image"}
    if kind == "png":
        return {f"{name}.png": _base64(content) for name, content in _pictures(maps, settings, grid).items()}
    if kind == "npz":
        write_arrays(folder / "maps.npz", maps)
    elif grid is not None:
        write_volumes(folder, "map", maps, grid)
    return {path.name.removeprefix("map_"): _base64(path.read_bytes()) for path in sorted(folder.iterdir())}


def _pictures(maps: dict[str, Tensor], settings: MonitorSettings, grid: Grid | None) -> dict[str, bytes]:
    flat = flat_maps(maps, settings.classes, grid) if settings.spatial_dims == 3 else maps
    pictures = pictures_of(flat, settings.classes, settings.anomaly_range)
    return {name: png_of(picture) for name, picture in pictures.items()}


def _base64(content: bytes) -> str:
    return b64encode(content).decode()
