"""A table of the paper as data: which detectors are its rows, on which M, and what its page shows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.data.specs import with_split
from synthcp.evaluation.results import DEFAULT_PROTOCOLS, Results, Row
from synthcp.experiments.cases import Cases
from synthcp.fitting.fit_data import FitData
from synthcp.records import Sample

OTHER_M = "of the other M"
"""In the place of a detector's name: SynthCP, fitted to the other M of the table."""


@dataclass(frozen=True)
class SeedResult:
    """What all rows say of one test, for one M and seed.

    Attributes:
        results: Their scores.
        cases: What they said of every image.
        costs: Time of each part over that of M, where the table measures it.
        unsuited: Why a row is left out, by its label.
    """

    results: Results
    cases: Cases
    costs: Mapping[str, float] = field(default_factory=dict)
    unsuited: Mapping[str, str] = field(default_factory=dict)

    @property
    def structures(self) -> list[str]:
        """Names of the classes whose quality counts."""
        return list(self.results.class_quality)


@dataclass(frozen=True)
class Shown:
    """What the page shows under one heading.

    Attributes:
        table: Which one.
        spec: Of the test.
        number: Of the test.
        model: M.
        seeds: What was judged, seed by seed.
    """

    table: Table
    spec: str
    number: int
    model: str
    seeds: Sequence[SeedResult]


@dataclass(frozen=True)
class Pictured:
    """What a figure can show: one test, one M and one seed.

    Attributes:
        run: Of M.
        detectors: By row.
        dataset: The test.
        judged: What the rows said of it.
        target: The file, without its suffix.
    """

    run: FitData
    detectors: Mapping[Row, Detector]
    dataset: Dataset
    judged: SeedResult
    target: Path


@dataclass(frozen=True)
class FirstSeed:
    """Rows of one M and the first seed alone.

    Attributes:
        model: M.
        rows: Names of detectors by their labels.
        fits: How often each is fitted in all; the further fits are rows of their own, and the first is none here.
    """

    model: str
    rows: Mapping[str, str]
    fits: int = 1

    def of(self, model: str, seed: int) -> bool:
        """Whether this M and seed have these rows."""
        return (model, seed) == (self.model, 0)


@dataclass(frozen=True, kw_only=True)
class Table:
    """One of the four tables.

    Attributes:
        name: Of its command and its page.
        title: Of its page.
        note: How its numbers are to be read.
        kind: What is judged.
        models: The M that are fitted; of several the first lends its G, auxiliary segmenter and VAE to all.
        rows: Names of detectors (rivals.catalogue.DETECTORS, or OTHER_M) by their labels.
        sections: What the page shows under each heading.
        pairs: Of which rows the difference is shown, with its interval.
        means: Rows that are the mean of the quality that two others predict.
        generators: Names of further generators of the rows of one M and the first seed.
        repeated: Rows of F, fitted again and again with the M and G of the first seed.
        protocols: Of anomaly segmentation.
        anomalies: Whether the test images must show some.
        usual_tests: SPECs of the tests, from that of the data, where none are asked for.
        facts: What else the numbers must be read with.
        costs: Measures what each part costs on one image.
        figure: Draws the table's figure.
        figure_name: Of its files.
        folder: Default name of the folder of the runs.
        samples: Of the bootstrap.
        require: Raises MissingExtraError when a library that a row needs is not installed.
    """

    name: str
    title: str
    note: str
    kind: Literal["images", "volumes"] = "images"
    models: tuple[str, ...]
    rows: Mapping[str, str]
    sections: tuple[Callable[[Shown], str], ...]
    pairs: tuple[tuple[Row, Row], ...] = ()
    means: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    generators: FirstSeed = field(default_factory=lambda: FirstSeed("", {}))
    repeated: FirstSeed = field(default_factory=lambda: FirstSeed("", {}))
    protocols: tuple[str, ...] = DEFAULT_PROTOCOLS
    anomalies: bool = False
    usual_tests: Callable[[str], Sequence[str]] = lambda data: [with_split(data, "test")]
    facts: Callable[[FitData], Mapping[str, str]] = lambda run: {}
    costs: Callable[[FitData, Mapping[Row, Detector], Sample], Mapping[str, float]] | None = None
    figure: Callable[[Pictured], None] | None = None
    figure_name: str = ""
    folder: str
    samples: int = 1000
    require: Callable[[], None] = lambda: None

    def figure_file(self, model: str, number: int) -> str:
        """Return the name of the figure of one M and test, without its suffix."""
        return "-".join([self.figure_name, *([model] if len(self.models) > 1 else []), str(number)])

    @property
    def compared(self) -> set[str]:
        """The rows of the pairs."""
        return {str(row) for pair in self.pairs for row in pair}
