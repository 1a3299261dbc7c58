"""Configs as plain values and back, and names looked up in tables."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from synthcp.errors import InputError

Config = TypeVar("Config")


def choose(table: Mapping[str, Config], name: str, what: str) -> Config:
    """Look a name up in a table.

    Raises:
        InputError: The name is not in it.
    """
    if name not in table:
        raise InputError(f"{what} {name!r} is unknown; choose one of {', '.join(table)}")
    return table[name]


def to_dict(config: object) -> dict[str, Any]:
    """Return a config as plain values for JSON."""
    assert dataclasses.is_dataclass(config) and not isinstance(config, type)
    return dataclasses.asdict(config)


def from_dict(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Rebuild a config from plain values; what is missing keeps its default.

    Raises:
        InputError: A key is unknown or a required one is missing.
    """
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise InputError(f"setting {unknown[0]!r} is unknown; {kind.__name__} has {', '.join(hints)}")
    try:
        return kind(**{key: _rebuilt(hints[key], value) for key, value in values.items()})
    except TypeError as error:
        raise InputError(f"settings of {kind.__name__} are incomplete: {error}") from error


def _rebuilt(hint: Any, value: Any) -> Any:
    if isinstance(hint, types.UnionType):
        hint = next((option for option in typing.get_args(hint) if dataclasses.is_dataclass(option)), hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(typing.cast(type, hint), value)
    if isinstance(value, list):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value
