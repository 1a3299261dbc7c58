"""classes.json: the names, colours and ignore index of a data set."""

from __future__ import annotations

import colorsys
import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from synthcp.errors import DataError
from synthcp.records import Classes
from synthcp.system.files import load_json

Color = tuple[int, int, int]


def read_classes(path: Path) -> Classes:
    """Read the label set from JSON, in the long or the short form.

    Long:  {"classes": [{"index": 0, "name": "Sky", "color": [128, 128, 128]}, ...], "ignore_index": 255}
    Short: {"names": ["Sky", ...], "colors": [[128, 128, 128], ...], "ignore_index": 255}
    An ignore index that is left out is 255, unless that is among the "values"; null is none. Colours that are left out
    come from `default_colors`. Where the integers in label files are not the indices, "values" lists those of the
    classes, in their order, such as [0, 255]; what is read then has indices, and 255 where there is no class (see
    `labels.stored_values`).

    Raises:
        DataError: No such file, no JSON, a missing or wrong value, a gap in the indices, a name that comes twice, or
            an ignore index that is a class.
    """
    content = load_json(path, 'write one, such as {"names": ["sky", "road"], "ignore_index": 255}', DataError)
    entries = _long_form(path, content["classes"]) if "classes" in content else _short_form(path, content)
    mapped = "values" in content or content.get("ignore_index", 255) is None
    return make_classes(path, entries, 255 if mapped else content.get("ignore_index", 255))


def make_classes(
    path: Path, entries: Sequence[dict[str, Any]], ignore_index: Any = 255, background: int | None = None
) -> Classes:
    """Return the label set that a file tells.

    Args:
        path: For messages.
        entries: Index, name and perhaps colour of every class.
        ignore_index: That label maps carry where there is no class.
        background: Index of the class that is none, of volumes.

    Raises:
        DataError: As `read_classes`.
    """
    indices = [entry["index"] for entry in entries]
    gapless = all(type(index) is int for index in indices) and sorted(indices) == list(range(len(indices)))
    _require(path, gapless, f"class indices must be 0, 1, ... without a gap, not {indices}; renumber the labels")
    ordered = sorted(entries, key=lambda entry: int(entry["index"]))
    names = tuple(entry["name"] for entry in ordered)
    _check_names(path, names)
    _require(path, type(ignore_index) is int, f'"ignore_index" must be a whole number, not {ignore_index!r}')
    rule = f'"ignore_index" {ignore_index} is a class index (0 to {len(names) - 1}); choose one outside, such as 255'
    _require(path, not 0 <= ignore_index < len(names), rule)
    palette = zip(ordered, default_colors(len(names)), strict=True)
    colors = tuple(_color(path, entry.get("color", default)) for entry, default in palette)
    return Classes(names, colors, ignore_index, background)


def infer_classes(values: Collection[int], source: Path) -> Classes:
    """Return the label set of label maps that come without classes.json: "class 0", "class 1", ..., 255 being void.

    Args:
        values: All that occur in the label maps.
        source: Of the label maps, for the message.

    Raises:
        DataError: The values are not 0, 1, ... without a gap, at least two of them.
    """
    indices = sorted(set(values) - {255})
    if len(indices) < 2 or indices != list(range(len(indices))):
        shown = ", ".join(map(str, sorted(values)[:6])) + (", ..." if len(values) > 6 else "")
        some = sorted(values)[:6] if len(values) > 1 else [0, 255]
        example = json.dumps({"names": [f"class {value}" for value in some], "values": some})
        raise DataError(
            f"{source} holds the values {shown}, which are not 0, 1, ... without a gap (255 is void); number the "
            f"classes so, or list them in {source.parent / 'classes.json'}, with 255 if it is one: {example}"
        )
    return Classes(tuple(f"class {index}" for index in indices), default_colors(len(indices)))


def default_colors(count: int) -> tuple[Color, ...]:
    """Distinct display colours (R, G, B in 0-255) for up to 256 classes; the first ones do not depend on count."""
    return tuple(_spread(index) for index in range(count))


def _spread(index: int) -> Color:
    hue = index * 0.6180339887 % 1.0  # steps of the golden ratio never fall on a hue again
    value = (0.95, 0.7, 0.45)[index % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _long_form(path: Path, entries: Any) -> list[dict[str, Any]]:
    proper = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
    _require(path, proper, '"classes" must be a list of objects with the keys index, name and color')
    for position, entry in enumerate(entries):
        for key in ("index", "name"):
            _require(path, key in entry, f'entry {position} of "classes" lacks the key "{key}"; add it')
    return list(entries)


def _short_form(path: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    names, colors = content.get("names"), content.get("colors")
    if not isinstance(names, list):
        raise DataError(f'{path}: lacks the key "names", a list of class names; add it')
    entries: list[dict[str, Any]] = [{"index": index, "name": name} for index, name in enumerate(names)]
    if colors is None:
        return entries
    proper = isinstance(colors, list) and len(colors) == len(names)
    _require(path, proper, f'"colors" must be a list with one colour for each of the {len(names)} names')
    return [{**entry, "color": color} for entry, color in zip(entries, colors, strict=True)]


def _check_names(path: Path, names: tuple[Any, ...]) -> None:
    _require(path, len(names) >= 2, f"has {len(names)} classes; a segmentation needs 2 or more; add the others")
    for name in names:
        _require(path, isinstance(name, str) and name != "", f"{name!r} is no class name; names are texts")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    _require(path, twice is None, f'the name "{twice}" comes twice; names must differ; rename one')


def _color(path: Path, color: Any) -> Color:
    proper = (
        isinstance(color, list | tuple)
        and len(color) == 3
        and all(type(value) is int and 0 <= value <= 255 for value in color)
    )
    _require(path, proper, f"{color!r} is no colour; write [R, G, B], each 0-255")
    red, green, blue = color
    return red, green, blue


def _require(path: Path, holds: bool, message: str) -> None:
    if not holds:
        raise DataError(f"{path}: {message}")
