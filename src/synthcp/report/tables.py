"""Results as tables: Markdown for documents, rich for the terminal, JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from synthcp.config.values import from_dict
from synthcp.errors import InputError, shown
from synthcp.evaluation.results import Results
from synthcp.report.metric_tables import ScoreTable, summary_table, tables
from synthcp.system.files import parse_json


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
        content = parse_json(text)
        if not isinstance(content, dict):
            raise InputError("it is no object {...}")
        return from_dict(Results, content, null_is_nan=True)
    except ValueError as error:  # also the InputError of a value
        raise InputError(f"metrics.json does not hold results ({error}); run synthcp eval again") from error


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
