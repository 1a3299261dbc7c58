"""--config FILE: single settings of a variant or a scale, changed by a JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from synthcp.config.scales import Scale, scales
from synthcp.config.values import choose, from_dict, to_dict
from synthcp.config.variants import VARIANTS, Variant
from synthcp.errors import InputError
from synthcp.nn.spatial import SpatialDims
from synthcp.system.files import load_json

Config = TypeVar("Config")


def read_overrides(
    path: Path, variant: str, scale: str, spatial_dims: SpatialDims = 2
) -> tuple[str | Variant, str | Scale]:
    """Return variant and scale with the changes of a file such as {"scale": {"gan": {"steps": 500}}}.

    What the file leaves alone stays a name; the scale is one of images (2) or of volumes (3).

    Raises:
        InputError: The file is missing or not JSON, or it names an unknown setting or a value of another kind.
    """
    changes = load_json(path)
    unknown = sorted(set(changes) - {"variant", "scale"})
    if unknown:
        raise InputError(f'{path}: {unknown[0]!r} is unknown; write settings below "variant" or "scale"')
    try:
        return (
            overridden(choose(VARIANTS, variant, "variant"), changes["variant"]) if "variant" in changes else variant,
            overridden(choose(scales(spatial_dims), scale, "scale"), changes["scale"]) if "scale" in changes else scale,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def overridden(config: Config, changes: object) -> Config:
    """Return a config with some fields changed, at any depth.

    Raises:
        InputError: A field is unknown, or a value is of another kind than the one it replaces.
    """
    return from_dict(type(config), _merged(type(config).__name__.lower(), to_dict(config), changes))


def _merged(name: str, value: Any, change: Any) -> Any:
    """The change, with what it leaves alone of the value; from_dict refuses names that the value lacks."""
    if isinstance(value, Mapping) and isinstance(change, Mapping):
        merged = {key: _merged(key, value.get(key, new), new) for key, new in change.items()}
        return {**value, **merged}
    if _kind(value) != _kind(change):
        example = "{...}" if isinstance(value, Mapping) else repr(value)
        raise InputError(f"setting {name!r} must be like {example}, not {change!r}")
    return change


def _kind(value: object) -> type:
    """The kind of a JSON value; counts are whole numbers, all other numbers are written with a point."""
    return list if isinstance(value, tuple) else type(value)
