"""Records come back from JSON, and what is no such record is refused by the name of the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from synthcp.config.scales import SCALES
from synthcp.config.values import choose, from_dict, load_record, save_record, to_dict
from synthcp.config.variants import VARIANTS


@dataclass(frozen=True)
class Part:
    share: float = 0.5
    sides: tuple[int, ...] = (2, 3)


@dataclass(frozen=True)
class Whole:
    """Every type that a record may have."""

    name: str
    count: int
    on: bool
    rate: float
    form: Literal["sum", 2]
    limits: tuple[float, float]
    colors: tuple[tuple[int, int, int], ...]
    by_name: dict[str, float]
    any: dict[str, Any]
    part: Part
    other: Part | None = None
    step: int | None = field(default=None)


WHOLE = Whole("a", 3, True, 0.1, "sum", (0.0, 1.5), ((1, 2, 3), (4, 5, 6)), {"x": 1e-9}, {"y": [1, None]}, Part())


@pytest.mark.parametrize(
    "whole", [WHOLE, replace(WHOLE, form=2, other=Part(0.1 + 0.2, ()), step=4), *VARIANTS.values(), *SCALES.values()]
)
def test_a_record_comes_back_from_its_file(tmp_path: Path, whole: object) -> None:
    save_record(tmp_path / "x.json", whole)
    assert load_record(tmp_path / "x.json", type(whole)) == whole == from_dict(type(whole), to_dict(whole))


def test_a_float_may_be_written_as_a_whole_number() -> None:
    part = from_dict(Part, {"share": 1, "sides": []})
    assert part.share == 1 and isinstance(part.share, float)


@pytest.mark.parametrize(
    ("keys", "value", "text"),
    [
        (["name"], 3, "setting 'name' is 3; it must be a text"),
        (["count"], 2.0, "setting 'count' is 2.0; it must be a whole number"),
        (["count"], True, "setting 'count' is True; it must be a whole number"),
        (["count"], None, "setting 'count' is None; it must be a whole number"),
        (["on"], 1, "setting 'on' is 1; it must be true or false"),
        (["rate"], "fast", "setting 'rate' is 'fast'; it must be a finite number"),
        (["rate"], False, "setting 'rate' is False; it must be a finite number"),
        (["rate"], float("nan"), "setting 'rate' is nan; it must be a finite number"),
        (["rate"], 10**400, "it must be a finite number"),
        (["form"], True, "setting 'form' is True; it must be one of sum, 2"),
        (["form"], "mean", "setting 'form' is 'mean'; it must be one of sum, 2"),
        (["limits"], [0.0], "setting 'limits' has 1 items; it must have 2"),
        (["limits"], 0.0, "setting 'limits' is 0.0; it must be a list"),
        (["colors", 1, 2], "6", "setting 'colors[1][2]' is '6'; it must be a whole number"),
        (["by_name", "x"], [], "setting 'by_name.x' is []; it must be a finite number"),
        (["part"], [], "setting 'part' is []; it must be an object {...}"),
        (["part", "share"], float("inf"), "setting 'part.share' is inf; it must be a finite number"),
        (["other"], {"share": 0.5}, "setting 'other.sides' is missing; Part has share, sides"),
        (["part", "shard"], 1, "setting 'part.shard' is unknown; Part has share, sides"),
        (["step"], 0.5, "setting 'step' is 0.5; it must be a whole number"),
    ],
)
def test_what_is_wrong_is_named(fails: Callable[..., Any], keys: list[Any], value: object, text: str) -> None:
    values = json.loads(json.dumps(to_dict(WHOLE)))
    place = values
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with fails(text):
        from_dict(Whole, values)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "is missing or not JSON"),
        ('{"share": 0.5', "is missing or not JSON"),
        ("[0.5]", "holds no JSON object"),
        ('{"share": NaN, "sides": []}', "not JSON (NaN is no number)"),
        ('{"share": -Infinity, "sides": []}', "not JSON (-Infinity is no number)"),
        ('{"share": 1e999, "sides": []}', "not JSON (1e999 is no number)"),
        ('{"share": 0.5}', ": setting 'sides' is missing"),
    ],
)
def test_a_file_without_the_record_is_named(
    fails: Callable[..., Any], tmp_path: Path, content: str | None, text: str
) -> None:
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    with fails("x.json", text):
        load_record(tmp_path / "x.json", Part)


def test_a_number_that_is_not_finite_is_not_written(fails: Callable[..., Any], tmp_path: Path) -> None:
    with fails("x.json cannot hold a number that is not finite"):
        save_record(tmp_path / "x.json", Part(float("nan")))
    assert not (tmp_path / "x.json").exists()


def test_an_unknown_name_is_told_the_known_ones(fails: Callable[..., Any]) -> None:
    with fails("scale 'big' is unknown; choose one of tiny, small, full"):
        choose(SCALES, "big", "scale")
    assert choose(VARIANTS, "official", "variant").score == "sum"
