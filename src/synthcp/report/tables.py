"""Results as tables: Markdown for documents, rich for the terminal, JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from synthcp.errors import InputError
from synthcp.evaluation import DetectorResult, Results, Row
from synthcp.metrics.components import ComponentScores
from synthcp.metrics.protocols import AnomalyScores
from synthcp.metrics.ranking import RankingScores
from synthcp.metrics.regression import RegressionScores
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
        settings.add_row(Text(name), Text(value))
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
        record = _of_today(json.loads(text))
        return Results(
            detectors=tuple(_detector(detector) for detector in record["detectors"]),
            mean_quality=_number(record["mean_quality"]),
            segmenter_quality={name: _number(value) for name, value in record["segmenter_quality"].items()},
            images=record["images"],
            class_quality={
                name: [(_number(true), _number(predicted)) for true, predicted in pairs]
                for name, pairs in record["class_quality"].items()
            },
            settings=record["settings"],
            measure=record["measure"],
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"metrics.json does not hold results ({error!r}); run synthcp eval again") from error


def _of_today(record: dict[str, Any]) -> dict[str, Any]:
    """Results as they are written now; older ones say nothing of a measure, for there was but IoU."""
    if "measure" in record:
        return record
    return record | {"measure": "IoU", "mean_quality": record["miou"], "segmenter_quality": record["class_iou"]}


def _markdown_table(table: ScoreTable) -> str:
    names = [f"{column.name}, {column.group}" for column in table.columns]
    lines = [["Detector", *names], ["---", *("---:" for _ in names)]]
    for name, cells in table.rows:
        lines.append([_escape(name), *(f"**{cell.text}**" if cell.best else cell.text for cell in cells)])
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"### {table.title}", "", f"{table.note}. All scores in percent.", "", *rows])


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


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
        printed.add_row(Text(name), *(Text(cell.text, style="bold" if cell.best else "") for cell in cells))
    return printed


def _without_nan(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _detector(record: Mapping[str, Any]) -> DetectorResult:
    quality = record["quality"]
    return DetectorResult(
        row=Row(**record["row"]),
        error_pooled=_ranking(record["error_pooled"]),
        error_per_image=_ranking(record["error_per_image"]),
        quality=None if quality is None else RegressionScores(**_scores(quality)),
        anomaly={protocol: _anomaly(scores) for protocol, scores in record.get("anomaly", {}).items()},
    )


def _ranking(record: Mapping[str, Any] | None) -> RankingScores | None:
    return None if record is None else RankingScores(**_scores(record))


def _anomaly(record: Mapping[str, Any]) -> AnomalyScores:
    components = record["components"]
    found = None if components is None else ComponentScores(**_scores(components))
    return AnomalyScores(**_scores(record) | {"components": found})


def _scores(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _with_nan(value) for name, value in record.items()}


def _with_nan(value: Any) -> Any:
    """The inverse of _without_nan; a list was a tuple."""
    if isinstance(value, list):
        return tuple(map(_with_nan, value))
    return math.nan if value is None else value
