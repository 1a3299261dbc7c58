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


def from_dict(kind: type[Record], values: Mapping[str, Any], place: str = "") -> Record:
    """Rebuild a dataclass from plain values, each of which must have the type of its field.

    The types may be dataclasses, tuples, dicts, Literal and unions with None, at any depth. A float may be written as a
    whole number; a bool is no number.

    Args:
        kind: The dataclass.
        values: Of all of its fields.
        place: Keys that lead to the values, with a point behind them.

    Raises:
        InputError: A key is unknown or missing, or a value is of another type or not finite.
    """
    hints = typing.get_type_hints(kind)
    wrong = [(name, "is unknown") for name in values if name not in hints]
    wrong += [(name, "is missing") for name in hints if name not in values]
    for name, what in wrong[:1]:
        raise InputError(f"setting {place + name!r} {what}; {kind.__name__} has {', '.join(hints)}")
    return kind(**{name: _checked(hint, values[name], place + name) for name, hint in hints.items()})


def require_finite_numbers(record: object) -> None:
    """Refuse a dataclass in which a number, at any depth, is NaN or infinite: no comparison with it would ever hold.

    Raises:
        InputError: The message names the setting.
    """
    for place, value in _leaves(to_dict(record)):
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"setting {place!r} is {value}; it must be {RULES[float]}; fit again or correct it")


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """All that a plain value is made of, each with the keys that lead to it."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _leaves(part, f"{place}[{index}]")
    else:
        yield place, value


def _checked(hint: Any, value: Any, place: str) -> Any:
    """The value of one field as its type has it; a union is one with None."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _checked(parts[0], value, place)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), _typed(dict, value, place), f"{place}.")
    if origin is tuple:
        return _items(parts, _typed(tuple, value, place), place)
    if origin is dict:
        return {key: _checked(parts[1], item, f"{place}.{key}") for key, item in _typed(dict, value, place).items()}
    if origin is Literal:
        if not any(value == part and type(value) is type(part) for part in parts):
            raise InputError(f"setting {place!r} is {value!r}; it must be one of {', '.join(map(str, parts))}")
        return value
    return value if hint is Any else _typed(hint, value, place)


def _items(parts: Sequence[Any], values: Sequence[Any], place: str) -> tuple[Any, ...]:
    """The items of a tuple, of any number or each of a type of its own."""
    hints = [parts[0]] * len(values) if parts[-1] is Ellipsis else parts
    if len(hints) != len(values):
        raise InputError(f"setting {place!r} has {len(values)} items; it must have {len(hints)}")
    return tuple(_checked(hints[index], item, f"{place}[{index}]") for index, item in enumerate(values))


def _typed(kind: type, value: Any, place: str) -> Any:
    """A value of one plain type; JSON has lists for tuples, and whole numbers that are floats."""
    if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    accepted = {tuple: (list, tuple), float: ()}.get(kind, (kind,))
    if type(value) not in accepted:
        raise InputError(f"setting {place!r} is {value!r}; it must be {RULES[kind]}")
    return value
