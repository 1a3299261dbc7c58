"""Configs and other records as plain values and back, checked against their types; names looked up in tables."""

from __future__ import annotations

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from synthcp.errors import InputError
from synthcp.system.files import load_json, save_json

Record = TypeVar("Record")

RULES: dict[Any, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    tuple: "a list",
    dict: "an object {...}",
}
"""What a value of each type must be, in words."""
LONGEST = 80
"""Characters of a value in a message."""


def choose(table: Mapping[str, Record], name: str, what: str) -> Record:
    """Look a name up in a table.

    Raises:
        InputError: The name is not in it.
    """
    if name not in table:
        raise InputError(f"{what} {name!r} is unknown; choose one of {', '.join(table)}")
    return table[name]


def save_record(path: Path, record: object) -> None:
    """Write a dataclass as JSON, whole or not at all; errors as save_json."""
    save_json(path, to_dict(record))


def load_record(path: Path, kind: type[Record]) -> Record:
    """Read a dataclass from JSON.

    Raises:
        InputError: The file is missing or not JSON, or holds another record; the message names the file, the key, what
            came and the rule.
    """
    values = load_json(path)
    try:
        return from_dict(kind, values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def to_dict(record: object) -> dict[str, Any]:
    """Return a dataclass as plain values for JSON."""
    assert dataclasses.is_dataclass(record) and not isinstance(record, type)
    return dataclasses.asdict(record)


def from_dict(kind: type[Record], values: Mapping[str, Any], place: str = "", *, null_is_nan: bool = False) -> Record:
    """Rebuild a dataclass from plain values, each of which must have the type of its field.

    The types may be dataclasses, tuples, dicts, Literal and unions with None, at any depth. A float may be written as a
    whole number; a bool is no number.

    Args:
        kind: The dataclass.
        values: Of all of its fields.
        place: Keys that lead to the values, with a point behind them.
        null_is_nan: Whether null stands for a number that is undefined.

    Raises:
        InputError: A key is unknown or missing, a value is of another type or not finite, or the dataclass refuses it.
    """
    hints = typing.get_type_hints(kind)
    wrong = [(name, "is unknown") for name in values if name not in hints]
    wrong += [(name, "is missing") for name in hints if name not in values]
    for name, what in wrong[:1]:
        raise InputError(f"setting {_shown(place + name)} {what}; {kind.__name__} has {', '.join(hints)}")
    fields = {name: _checked(hint, values[name], place + name, null_is_nan) for name, hint in hints.items()}
    try:
        return kind(**fields)
    except InputError as error:
        raise InputError(f"setting {place[:-1]!r}: {error}" if place else str(error)) from error


def _checked(hint: Any, value: Any, place: str, null_is_nan: bool) -> Any:
    """The value of one field as its type has it; a union is one with None."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _checked(parts[0], value, place, null_is_nan)
    if dataclasses.is_dataclass(hint):
        content = _typed(dict, value, place)
        return from_dict(typing.cast(type, hint), content, f"{place}.", null_is_nan=null_is_nan)
    if origin in (tuple, list):
        return origin(_items(parts, _typed(tuple, value, place), place, null_is_nan))
    if origin is dict:
        items = _typed(dict, value, place).items()
        return {key: _checked(parts[1], item, f"{place}.{key}", null_is_nan) for key, item in items}
    if origin is Literal:
        if not any(value == part and type(value) is type(part) for part in parts):
            raise InputError(
                f"setting {_shown(place)} is {_shown(value)}; it must be one of {', '.join(map(str, parts))}"
            )
        return value
    if hint is float and value is None and null_is_nan:
        return math.nan
    return value if hint is Any else _typed(hint, value, place)


def _items(parts: Sequence[Any], values: Sequence[Any], place: str, null_is_nan: bool) -> Iterator[Any]:
    """The items of a list or a tuple, of any number or each of a type of its own."""
    hints = [parts[0]] * len(values) if len(parts) == 1 or parts[-1] is Ellipsis else parts
    if len(hints) != len(values):
        raise InputError(f"setting {_shown(place)} has {len(values)} items; it must have {len(hints)}")
    for index, item in enumerate(values):
        yield _checked(hints[index], item, f"{place}[{index}]", null_is_nan)


def _typed(kind: type, value: Any, place: str) -> Any:
    """A value of one plain type; JSON has lists for tuples, and whole numbers that are floats."""
    if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    accepted = {tuple: (list, tuple), float: ()}.get(kind, (kind,))
    if type(value) not in accepted:
        raise InputError(f"setting {_shown(place)} is {_shown(value)}; it must be {RULES[kind]}")
    return value


def _shown(value: Any) -> str:
    """A value as it is told: on one line, and no longer than that."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
