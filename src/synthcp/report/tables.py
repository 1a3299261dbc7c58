"""Results as tables: Markdown for documents, rich for the terminal, JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from rich.table import Table
from rich.text import Text

from synthcp.errors import InputError, shown
from synthcp.evaluation import Results
from synthcp.report.score_tables import ScoreTable, summary_table, tables


def to_markdown(results: Results) -> str:
    """All tables and the settings; the best value of each column is bold."""
    parts = [_markdown_table(table) for table in tables(results)]
    settings = [f"| {_escape(name)} | {_escape(value)} |" for name, value in results.settings.items()]
    if settings:
        parts.append("\n".join(["### Settings", "", "| Setting | Value |", "|---|---|", *settings]))
    return "\n\n".join(parts) + "\n"


def to_rich(results: Results) -> list[Table]:
    """One narrow table per protocol, then the settings."""
    printed = [_rich_table(part) for table in tables(results) for part in _by_group(table)]
    settings = Table("Setting", "Value", title="Settings")
    for name, value in results.settings.items():
        settings.add_row(Text(shown(name)), Text(shown(value)))
    return [*printed, settings] if results.settings else printed


def summary(results: Results) -> Table:
    """The five scores to look at first, in one narrow table; the best value of each column is bold."""
    return _rich_table(summary_table(results))


def to_json(results: Results) -> str:
    """Results as JSON; NaN becomes null."""
    return json.dumps(_without_nan(asdict(results)), indent=2, allow_nan=False)


def from_json(text: str) -> Results:
    """Results from JSON; null becomes NaN. Raises InputError when the text does not hold results."""
    try:
        results: Results = _rebuilt(Results, json.loads(text))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"metrics.json does not hold results ({error!r}); run synthcp eval again") from error
    return results


def _markdown_table(table: ScoreTable) -> str:
    names = [f"{column.name}, {column.group}" for column in table.columns]
    lines = [["Detector", *names], ["---", *("---:" for _ in names)]]
    for name, cells in table.rows:
        lines.append([_escape(name), *(f"**{cell.text}**" if cell.best else cell.text for cell in cells)])
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"### {table.title}", "", f"{table.note}. All scores in percent.", "", *rows])


def _escape(text: str) -> str:
    return shown(text.replace("|", "\\|"))


def _by_group(table: ScoreTable) -> list[ScoreTable]:
    """One table per protocol; the note is said once, by the first."""
    parts: list[ScoreTable] = []
    start = 0
    for group, width in table.groups:
        group_columns = slice(start, start + width)
        rows = tuple((name, cells[group_columns]) for name, cells in table.rows)
        title, note = f"{table.title}, {group}", "" if parts else table.note
        parts.append(ScoreTable(title, note, table.columns[group_columns], rows))
        start += width
    return parts


def _rich_table(table: ScoreTable) -> Table:
    printed = Table(title=Text(table.title), caption=Text(table.note), title_justify="left", caption_justify="left")
    printed.add_column("Detector", overflow="fold")
    for column in table.columns:
        printed.add_column(f"{column.name}\n{column.group}", justify="right")
    for name, cells in table.rows:
        printed.add_row(Text(shown(name)), *(Text(cell.text, style="bold" if cell.best else "") for cell in cells))
    return printed


def _without_nan(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _rebuilt(kind: Any, value: Any) -> Any:
    """The inverse of asdict and _without_nan: a value of a type, at any depth, from what JSON has of it."""
    parts = get_args(kind)
    if get_origin(kind) is UnionType:  # with None
        return None if value is None else _rebuilt(parts[0], value)
    if is_dataclass(kind):
        return kind(**{name: _rebuilt(hint, value[name]) for name, hint in get_type_hints(kind).items()})  # type: ignore[operator]
    if get_origin(kind) is dict:
        return {key: _rebuilt(parts[1], item) for key, item in value.items()}
    if get_origin(kind) in (list, tuple):
        one_kind = len(parts) == 1 or parts[-1] is Ellipsis
        hints = [parts[0]] * len(value) if one_kind else parts
        return get_origin(kind)(map(_rebuilt, hints, value))
    return math.nan if kind is float and value is None else value
