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
        InputError: The file is missing or not JSON, or it names an unknown setting or a value of another type.
    """
    changes = load_json(path)
    unknown = sorted(set(changes) - {"variant", "scale"})
    if unknown:
        raise InputError(f'{path}: {unknown[0]!r} is unknown; write settings below "variant" or "scale"')
    chosen = choose(VARIANTS, variant, "variant"), choose(scales(spatial_dims), scale, "scale")
    try:
        return (
            overridden(chosen[0], changes["variant"], "variant") if "variant" in changes else variant,
            overridden(chosen[1], changes["scale"], "scale") if "scale" in changes else scale,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def overridden(config: Config, changes: object, name: str) -> Config:
    """Return a config with some fields changed, at any depth.

    Args:
        config: As it was.
        changes: The fields to be changed, as plain values.
        name: Of the config, for the message.

    Raises:
        InputError: A field is unknown, or a value is of another type than the field.
    """
    if not isinstance(changes, Mapping):
        raise InputError(f"setting {name!r} is {changes!r}; it must be an object {{...}}")
    return from_dict(type(config), _merged(to_dict(config), changes), f"{name}.")


def _merged(value: Any, change: Any) -> Any:
    """The change, with what it leaves alone of the value."""
    if isinstance(value, Mapping) and isinstance(change, Mapping):
        return {**value, **{key: _merged(value.get(key), new) for key, new in change.items()}}
    return change
