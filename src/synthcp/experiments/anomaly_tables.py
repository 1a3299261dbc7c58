"""Tables 3 and 4: anomaly segmentation by SynthCP, its rivals and its controls, over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.data.check import check_labels
from synthcp.data.specs import open_dataset
from synthcp.evaluation import Results, judge
from synthcp.experiments.anomaly_run import AnomalyRun, open_run
from synthcp.experiments.figure7 import figure7
from synthcp.experiments.request import Request, check_test
from synthcp.experiments.spread import Spread, markdown
from synthcp.report.outputs import write_text
from synthcp.report.tables import from_json, to_json
from synthcp.system.progress import Progress, silent
from synthcp.system.provenance import command_line, commit, hardware
from synthcp.verbs.checks import seen_in_fitting

PROTOCOLS = ("caos", "pooled")
NOTE = (
    "Mean ± standard deviation over seeds, in percent; FPR95: smaller is better. Columns of the paper: StreetHazards, "
    "protocol caos, so they compare with a row only when that is the data. A difference between two rows counts when "
    "the controls (no drawing, untrained G) do not show it as well."
)
SEEN = "seen in fitting"
"""Fact of a test: how many of its image ids are those of training images."""
METRICS = {"FPR95": "fpr95", "AUROC": "auroc", "AUPR": "aupr"}


@dataclass(frozen=True)
class AnomalyTable:
    """One of the two tables.

    Attributes:
        name: Of its command.
        title: Of its page.
        detectors: Its rows, of one run.
        paper: What the paper's table says of a row, on StreetHazards: FPR95, AUROC and AUPR in percent.
        reference: The row by whose AUPR every row's is divided.
        pictured: The rows whose maps Figure 7 shows; none draws no figure.
        require: Raises MissingExtraError when a library that a row needs is not installed.
    """

    name: str
    title: str
    detectors: Callable[[AnomalyRun], Mapping[str, Detector]]
    paper: Mapping[str, tuple[float, float, float]]
    reference: str
    pictured: tuple[str, ...] = ()
    require: Callable[[], None] = lambda: None


def reproduce(table: AnomalyTable, request: Request, progress: Progress = silent) -> str:
    """Fit what the table needs, once for each seed, judge it on every test, and write the table.

    Args:
        table: Which one.
        request: On what.
        progress: Called after every step of every stage.

    Returns:
        The page, in Markdown, as written to out/NAME.md.

    Raises:
        InputError: The data or options are unusable, or the folder holds runs on other data.
        MissingExtraError: A row needs a library that is not installed.
    """
    table.require()
    train, tests = open_dataset(request.data), request.open_tests()
    check_labels(train)
    for spec, dataset in tests.items():
        if dataset[0].label_map is not None:  # where there is none, the anomaly mask is enough
            check_test(spec, dataset, train, "images")
    results: dict[str, list[Results]] = {spec: [] for spec in tests}
    facts = dict[str, str]()
    for seed in request.numbers:
        run = open_run(request, train, seed, progress)
        facts, rows = _facts(request, run), _Rows(table, run)
        for number, (spec, dataset) in enumerate(tests.items()):
            path = run.context.out / f"{table.name}-{number}.json"
            results[spec].append(rows.judged(spec, dataset, path, progress))
    page = _page(table, results, facts)
    request.write(table.name, page)
    return page


@dataclass(frozen=True)
class _Rows:
    """The rows of a table for one seed; what they need is fitted when the first test asks for them, and once."""

    table: AnomalyTable
    run: AnomalyRun

    @cached_property
    def detectors(self) -> Mapping[str, Detector]:
        return self.table.detectors(self.run)

    def judged(self, spec: str, dataset: Dataset, path: Path, progress: Progress) -> Results:
        """The results on one test; those on disk, if they are of this test and this code."""
        facts = {"data": spec, "commit": commit(), SEEN: str(seen_in_fitting(dataset, self.run.context.dataset.ids))}
        if path.exists():
            kept = from_json(path.read_text(encoding="utf-8"))
            if all(kept.settings.get(name) == fact for name, fact in facts.items()) and "dirty" not in facts["commit"]:
                return kept
        if self.table.pictured:
            pictured = {name: self.detectors[name] for name in self.table.pictured}
            figure7(self.run, dataset, pictured, path.with_suffix(".png"))
        results = self._evaluated(dataset, facts, progress)
        write_text(path, to_json(results))
        return results

    def _evaluated(self, dataset: Dataset, facts: Mapping[str, str], progress: Progress) -> Results:
        context = self.run.context
        stage = f"seed {context.seed}: {facts['data']}"
        return judge(
            self.detectors,
            self.run.segmenter,
            dataset,
            runtime=context.runtime,
            side=context.settings.scale.side,
            classes=context.settings.classes,
            facts=facts,
            protocols=PROTOCOLS,
            progress=lambda step, steps: progress(stage, step, steps, {}),
        )


def _page(table: AnomalyTable, results: Mapping[str, Sequence[Results]], facts: Mapping[str, str]) -> str:
    sections = [_section(table, spec, seeds) for spec, seeds in results.items()]
    settings = markdown(["Setting", "Value"], [[name, value] for name, value in facts.items()])
    return "\n\n".join([f"# {table.title}", NOTE, *sections, "## Settings", settings]) + "\n"


def _section(table: AnomalyTable, spec: str, seeds: Sequence[Results]) -> str:
    header = ["Detector", *(f"{metric}, {protocol}" for protocol in PROTOCOLS for metric in METRICS)]
    header += [f"AUPR / {table.reference}, {protocol}" for protocol in PROTOCOLS]
    header += [f"{metric}, paper" for metric in METRICS]
    names = [result.name for result in seeds[0].detectors]
    rows = [["chance", *_chance(seeds[0])]] + [[name, *_row(table, name, seeds)] for name in names]
    return "\n\n".join([f"## {spec}", _conditions(seeds), markdown(header, rows)])


def _row(table: AnomalyTable, name: str, seeds: Sequence[Results]) -> list[str]:
    cells = [str(_spread(name, seeds, protocol, score)) for protocol in PROTOCOLS for score in METRICS.values()]
    ratios = [
        _spread(name, seeds, protocol, "aupr").mean / _spread(table.reference, seeds, protocol, "aupr").mean
        for protocol in PROTOCOLS
    ]
    paper = [f"{value:.1f}" for value in table.paper.get(name, ())] or ["-"] * len(METRICS)
    return [*cells, *(f"{ratio:.2f}" for ratio in ratios), *paper]


def _chance(results: Results) -> list[str]:
    """What a score says that knows nothing: no order (FPR95 95 %, AUROC 50 %, AUPR the share of anomalous pixels)."""
    anomaly = results.detectors[0].anomaly
    cells = [cell for name in PROTOCOLS for cell in ("95.0", "50.0", f"{100 * anomaly[name].prevalence:.1f}")]
    return [*cells, *["-"] * (len(PROTOCOLS) + len(METRICS))]


def _spread(name: str, seeds: Sequence[Results], protocol: str, score: str) -> Spread:
    found = [next(row for row in results.detectors if row.name == name) for results in seeds]
    return Spread(tuple(float(getattr(row.anomaly[protocol], score)) for row in found))


def _conditions(seeds: Sequence[Results]) -> str:
    """What the numbers of one test must be read with."""
    anomaly = seeds[0].detectors[0].anomaly
    parts = [f"{seeds[0].images} images, {len(seeds)} seeds"]
    for name in PROTOCOLS:
        scores = anomaly[name]
        share = f"{100 * scores.prevalence:.2f} % of the judged pixels anomalous, {100 * scores.void_share:.1f} % void"
        parts.append(f"{name}: {scores.images} images judged, {scores.skipped} skipped, {share}")
    if (seen := seeds[0].settings[SEEN]) != "0":
        parts.append(f"{seen} image ids were among those of the fit, so the scores may flatter")
    miou = Spread(tuple(results.mean_quality for results in seeds))
    return "; ".join([*parts, f"mIoU of M {miou}"]) + "."


def _facts(request: Request, run: AnomalyRun) -> dict[str, str]:
    """What every number of the page must be read with."""
    context = run.context
    return {
        "data": request.data,
        "M": context.settings.model.spec,
        "scale": request.scale,
        "seeds": ", ".join(map(str, request.numbers)),
        "training images": str(len(context.dataset)),
        "fit": f"commit {context.settings.facts.get('commit', '')}, {context.runtime.precision}",
        "command": command_line(),
        "commit": commit(),
        "hardware": hardware(context.runtime.device),
    }
