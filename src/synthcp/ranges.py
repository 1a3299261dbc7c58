"""Between which limits the numbers of a record lie; a record checks itself when it is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from synthcp.errors import InputError

Range = tuple[float, float]

SHARE: Range = (0.0, 1.0)
COUNT: Range = (0, 2**31)
CHANNELS: Range = (1, 4096)
"""Of a layer of a network."""
FACTOR: Range = (1, 1024)
"""By which something is multiplied or spread."""
WEIGHT: Range = (0.0, 1e6)
"""Of a term in a sum."""
COEFFICIENT: Range = (-1e6, 1e6)
"""Of a regression."""


def check_ranges(record: object, **ranges: Range) -> None:
    """Check numbers of a record, alone or in tuples and dicts; what is None is left out.

    Args:
        record: A dataclass.
        ranges: Lowest and highest value by the name of the field.

    Raises:
        InputError: A number is NaN or outside its range; the message names the field.
    """
    for name, (low, high) in ranges.items():
        for value in _numbers(getattr(record, name)):
            if not low <= value <= high:
                kind = type(record).__name__
                raise InputError(f"{name} of {kind} is {value:.6g}; it must lie in {low:.6g} to {high:.6g}")


def check_count(record: object, **counts: Range) -> None:
    """Check how many items fields of a record have; arguments and errors as check_ranges."""
    for name, (low, high) in counts.items():
        items = len(getattr(record, name))
        if not low <= items <= high:
            kind = type(record).__name__
            raise InputError(f"{name} of {kind} has {items} items; it must have {low:.6g} to {high:.6g}")


def _numbers(value: float | tuple[float, ...] | Mapping[str, float] | None) -> Iterator[float]:
    if isinstance(value, Mapping):
        value = tuple(value.values())
    yield from value if isinstance(value, tuple) else () if value is None else (value,)
