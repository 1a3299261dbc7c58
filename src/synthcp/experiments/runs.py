"""Detectors and predictions into scores: the runs of a table, its rows on each of them, kept on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from synthcp.comparison.base import Detector
from synthcp.config.values import load_record, save_record
from synthcp.data.base import Dataset
from synthcp.errors import UnsuitedError
from synthcp.evaluation.judging import judge
from synthcp.evaluation.results import Results, Row
from synthcp.experiments.cases import Cases, Watch
from synthcp.experiments.request import TableRequest
from synthcp.experiments.table import OTHER_M, FirstSeed, Pictured, SeedResult, Table
from synthcp.fitting.fit_data import FitData
from synthcp.fitting.heads import SHIPPED
from synthcp.fitting.stages import Stages
from synthcp.report.tables import from_json, to_json
from synthcp.rivals.catalogue import DETECTORS
from synthcp.rivals.synthcp import HEADS, failure_detector
from synthcp.segmentation.base import Segmenter
from synthcp.system.files import save_text
from synthcp.system.progress import Progress, silent
from synthcp.system.provenance import commit
from synthcp.verbs.checks import seen_in_fitting

SEEN = "seen in fitting"
"""Fact of a test: how many of its image ids are those of training images."""


def open_runs(
    table: Table, request: TableRequest, dataset: Dataset, seed: int, progress: Progress = silent
) -> dict[str, FitData]:
    """Fit every M and G of one seed, or read them from out/seedN; returned by the name of M.

    Raises:
        InputError: The folder holds a run on other data or with other options, or weights do not fit their M.
    """
    folder, models = request.out / f"seed{seed}", request.models(table)
    several = len(table.models) > 1 and request.fit.fits_model
    wanted = dict.fromkeys((table.models[0], *models) if several else models)
    folders = {model: folder / model if several else folder for model in wanted}
    # all begin before one is fitted: what is unusable is refused now
    begun = {model: request.begin(dataset, folders[model], model, seed, progress) for model in wanted}
    first, *others = begun
    lender = _fit_data(begun[first])
    runs = {first: lender, **{model: _fit_data(begun[model], lender) for model in others}}
    for model in models:
        if table.generators.of(model, seed):
            runs[model] = _with_generators(runs[model], table.generators)
    return {model: runs[model] for model in models}


def _fit_data(stages: Stages, lender: FitData | None = None) -> FitData:
    predictor, out = stages.predictor(), stages.context.out
    run = FitData(
        begin=lambda: stages,
        run=out,
        folder=out,
        runtime=stages.runtime,
        live=predictor if isinstance(predictor, Segmenter) else None,
        generators={} if lender is None else lender.generators,
        lender=lender,
    )
    return run if lender is not None else replace(run, generators=stages.generators(run.viewer))


def _with_generators(run: FitData, further: FirstSeed) -> FitData:
    """The run with further generators, fitted like G."""
    lender = run.lender or run
    kinds = [HEADS[name].generator for name in further.rows.values()]
    made = {kind: lender.stages.generator(lender.viewer, kind) for kind in kinds}
    return replace(run, generators={**run.generators, **made})


@dataclass(frozen=True)
class Judges:
    """The rows of a table for one M and seed; what they need is fitted when the first test asks for them, and once.

    Attributes:
        table: Which one.
        run: Of M.
        other: The run of the table's other M.
        progress: Called after every image.
    """

    table: Table
    run: FitData
    other: FitData | None
    progress: Progress

    @property
    def detectors(self) -> dict[Row, Detector]:
        """The detectors by their rows, in the order of the table; the rows of the first seed alone come first."""
        return self._fitted[0]

    @cached_property
    def _fitted(self) -> tuple[dict[Row, Detector], dict[str, str]]:
        """The detectors, and why a row has none, by its label."""
        table, model, seed = self.table, self.run.context.settings.model.spec, self.run.context.seed
        found, unsuited = self._repeated() if table.repeated.of(model, seed) else {}, dict[str, str]()
        rows = dict(table.generators.rows) if table.generators.of(model, seed) else {}
        for label, name in (rows | dict(table.rows)).items():
            if name == OTHER_M and self.other is None:
                continue
            try:
                found[Row(label)] = self._detector(name)
            except UnsuitedError as error:
                unsuited[label] = str(error)
        return found, unsuited

    def _detector(self, name: str) -> Detector:
        if name != OTHER_M:
            return DETECTORS[name](self.run)
        assert self.other is not None  # else the row is not there
        return failure_detector(self.run, SHIPPED, self.other.comparator(SHIPPED))

    def _repeated(self) -> dict[Row, Detector]:
        repeated = self.table.repeated
        return {
            Row(label, seed=number): failure_detector(
                self.run, replace(HEADS[name], name=f"{HEADS[name].name}-{number}", seed=1000 + number)
            )
            for label, name in repeated.rows.items()
            for number in range(2, repeated.fits + 1)
        }

    def judged(self, spec: str, dataset: Dataset, number: int, target: Path | None) -> SeedResult:
        """Return what they say of one test; that on disk, if it is of this test, this code and these rows.

        Args:
            spec: Of the test.
            dataset: The test.
            number: Of the test.
            target: Of the figure, which is drawn when the test is judged; None draws none.
        """
        path = self.run.context.out / f"{self.table.name}-{number}.json"
        facts = {
            "data": spec,
            "commit": commit(),
            SEEN: str(seen_in_fitting(dataset, self.run.context.dataset.ids)),
            "rows": ", ".join(name for name in self.table.rows if self.other or self.table.rows[name] != OTHER_M),
        }
        return _kept(path, facts) or self._judged(dataset, facts, path, target)

    def _judged(self, dataset: Dataset, facts: dict[str, str], path: Path, target: Path | None) -> SeedResult:
        table, run = self.table, self.run
        costs = {} if table.costs is None else table.costs(run, self.detectors, dataset[0])
        results, cases = self._evaluated(dataset, facts)
        judged = SeedResult(results, cases.with_means(table.means), costs, self._fitted[1])
        if target is not None and table.figure is not None:
            table.figure(Pictured(run, self.detectors, dataset, judged, target))
        judged.cases.save(path.with_suffix(".safetensors"))
        save_record(_beside(path), Beside(dict(judged.costs), dict(judged.unsuited)))
        save_text(path, to_json(results))
        return judged

    def _evaluated(self, dataset: Dataset, facts: Mapping[str, str]) -> tuple[Results, Cases]:
        """The one place in which a table judges."""
        context, classes = self.run.context, self.run.context.settings.classes
        stage = f"seed {context.seed}, {context.settings.model.spec}: {facts['data']}"
        watch = Watch([classes.names.index(name) for name in classes.structures], self.table.compared)
        results = judge(
            self.detectors,
            self.run.predictor,
            dataset,
            runtime=context.runtime,
            side=context.settings.scale.side,
            classes=classes,
            facts=facts,
            protocols=self.table.protocols,
            progress=lambda step, steps: self.progress(stage, step, steps, {}),
            watch=watch,
        )
        return results, watch.cases()


def _kept(path: Path, facts: Mapping[str, str]) -> SeedResult | None:
    """What is on disk, if it was judged under the same facts, by code that is written down."""
    cases = path.with_suffix(".safetensors")
    if not (path.exists() and cases.exists()) or "dirty" in facts["commit"]:
        return None
    results = from_json(path.read_text(encoding="utf-8-sig"))
    if results.settings != facts:
        return None
    beside = load_record(_beside(path), Beside)
    return SeedResult(results, Cases.load(cases), beside.costs, beside.unsuited)


@dataclass(frozen=True)
class Beside:
    """What is kept beside the scores; attributes as of SeedResult."""

    costs: dict[str, float]
    unsuited: dict[str, str]


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}-beside.json")
