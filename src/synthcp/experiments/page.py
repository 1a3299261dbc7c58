"""The page of a table: rows and columns as data, the paper's numbers, differences with intervals, conditions, facts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from synthcp.evaluation.results import DetectorResult, Results, Row
from synthcp.experiments.cases import CaseScore, difference
from synthcp.experiments.runs import SEEN
from synthcp.experiments.table import SeedResult, Shown, Table
from synthcp.metrics.bootstrap import Interval

Paper = Mapping[str, Sequence[float]]
"""What the paper's table says of a row, by its label: its columns, in percent."""
UNKNOWN = "-"


@dataclass(frozen=True)
class Spread:
    """A number, once for each seed; NaN where it is undefined."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return math.fsum(self.values) / len(self.values) if self.values else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds, of the sample (ddof 1); NaN of a single one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan

    def __str__(self) -> str:
        """Percent: "23.4 ± 1.2"."""
        if math.isnan(self.mean):
            return UNKNOWN
        spread = "" if math.isnan(self.deviation) else f" ± {100 * self.deviation:.1f}"
        return f"{100 * self.mean:.1f}{spread}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is text and whose others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Score:
    """One score of a row.

    Attributes:
        heading: Of its column.
        part: Name of the attribute of DetectorResult that holds it.
        name: Of the score in this part.
        protocol: Of anomaly segmentation; empty for other parts.
    """

    heading: str
    part: str
    name: str
    protocol: str = ""

    def of(self, judged: SeedResult, row: Row) -> float:
        """Return it, NaN where the row is not there or says nothing of it."""
        found = self._part(result_of(judged.results, row))
        return math.nan if found is None else float(getattr(found, self.name))

    def spread(self, seeds: Sequence[SeedResult], row: Row) -> Spread:
        """Return it for every seed."""
        return Spread(tuple(self.of(judged, row) for judged in seeds))

    def said_by(self, seeds: Sequence[SeedResult], row: Row) -> bool:
        """Whether the row says something of it for every seed."""
        return all(self._part(result_of(judged.results, row)) is not None for judged in seeds)

    def _part(self, result: DetectorResult | None) -> object | None:
        found = None if result is None else getattr(result, self.part)
        return found.get(self.protocol) if isinstance(found, Mapping) else found


def result_of(results: Results, row: Row) -> DetectorResult | None:
    """Return what was found of a row."""
    return next((result for result in results.detectors if result.name == str(row)), None)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        heading: Its text.
        cell: Its text for a row, from what was judged for every seed.
    """

    heading: str
    cell: Callable[[Sequence[SeedResult], Row], str]


def ours(score: Score) -> Column:
    """Return mean and deviation of a score."""
    return Column(score.heading, lambda seeds, row: str(score.spread(seeds, row)))


def of_paper(heading: str, paper: Paper, place: int) -> Column:
    """Return a column of the paper."""
    return Column(
        f"{heading}, paper", lambda seeds, row: f"{paper[str(row)][place]:.1f}" if str(row) in paper else UNKNOWN
    )


def beside_paper(score: Score, paper: Paper, place: int) -> list[Column]:
    """Return ours, the paper's and their difference."""

    def difference_of(seeds: Sequence[SeedResult], row: Row) -> str:
        mean = score.spread(seeds, row).mean
        known = str(row) in paper and not math.isnan(mean)
        return f"{100 * mean - paper[str(row)][place]:+.1f}" if known else UNKNOWN

    return [ours(score), of_paper(score.heading, paper, place), Column(f"{score.heading}, difference", difference_of)]


def ratio_to(reference: str, score: Score, heading: str) -> Column:
    """Return the mean of a score over that of another row."""

    def cell(seeds: Sequence[SeedResult], row: Row) -> str:
        return f"{score.spread(seeds, row).mean / score.spread(seeds, Row(reference)).mean:.2f}"

    return Column(heading, cell)


def rows_of(table: Table) -> list[Row]:
    """Return the rows of every seed: of each label the raw error map first, if there is one, then the whole."""
    return [Row(label, raw) for label in table.rows for raw in (True, False)]


def score_table(
    seeds: Sequence[SeedResult], rows: Sequence[Row], columns: Sequence[Column], first: str = "Detector"
) -> str:
    """Return a table of rows and columns."""
    lines = [[str(row), *(column.cell(seeds, row) for column in columns)] for row in rows]
    return markdown([first, *(column.heading for column in columns)], lines)


def differences(shown: Shown, scores: Mapping[str, CaseScore], images: str) -> str:
    """Return the differences of the table's pairs of rows, with 95 % intervals."""
    cases = [judged.cases for judged in shown.seeds]
    rows = []
    for pair in shown.table.pairs:
        first, second = map(str, pair)
        found = (difference(cases, first, second, score, shown.table.samples) for score in scores.values())
        rows.append([f"{first} minus {second}", *map(_in_percent, found)])
    heading = f"Differences of the means over seeds, with 95 % intervals of a paired bootstrap over the {images}:"
    return f"{heading}\n\n{markdown(['Difference', *scores], rows)}"


def _in_percent(interval: Interval) -> str:
    if math.isnan(interval.value):
        return UNKNOWN
    return f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def conditions(shown: Shown, parts: Sequence[str]) -> str:
    """Return what the numbers of one test must be read with."""
    results = [judged.results for judged in shown.seeds]
    seen = results[0].settings[SEEN]
    told = [f"{results[0].images} {shown.table.kind}, {len(results)} seeds", *parts]
    told += [] if seen == "0" else [f"{seen} ids were among those of the fit, so the scores may flatter"]
    told += [f"left out: {label} ({reason})" for label, reason in shown.seeds[0].unsuited.items()]
    return "; ".join(told) + "."


def quality_of_m(shown: Shown) -> str:
    """Return the mIoU of M."""
    return f"mIoU of M {Spread(tuple(judged.results.mean_quality for judged in shown.seeds))}"


def page_of(table: Table, judged: Mapping[str, Mapping[str, Sequence[SeedResult]]], facts: Mapping[str, str]) -> str:
    """Return the page in Markdown.

    Args:
        table: Which one.
        judged: By SPEC of the test and name of M, one for each seed.
        facts: What every number must be read with.
    """
    parts = [f"# {table.title}", table.note]
    for number, (spec, models) in enumerate(judged.items()):
        for model, seeds in models.items():
            shown = Shown(table, spec, number, model, seeds)
            parts.append(f"## {model}, {spec}" if len(table.models) > 1 else f"## {spec}")
            parts += [text for section in table.sections if (text := section(shown))]
    settings = markdown(["Setting", "Value"], [[name, value] for name, value in facts.items()])
    return "\n\n".join([*parts, "## Settings", settings]) + "\n"
