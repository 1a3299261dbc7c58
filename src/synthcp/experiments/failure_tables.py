"""Table 1: failure detection in the predictions of several M, by SynthCP, its rivals and its controls, over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.data.check import check_labels
from synthcp.data.specs import open_dataset, with_split
from synthcp.errors import InputError
from synthcp.evaluation import Results, judge
from synthcp.experiments.costs import costs
from synthcp.experiments.failure_cases import FailureCases, FailureScores
from synthcp.experiments.failure_page import COMPARED, SEEN, Judged, failure_page
from synthcp.experiments.failure_run import MODELS, FailureRun, open_failure_runs
from synthcp.experiments.figure5 import figure5
from synthcp.experiments.request import Request
from synthcp.fitting.heads import SHIPPED
from synthcp.report.outputs import write_text
from synthcp.report.tables import from_json, to_json
from synthcp.system.progress import Progress, silent
from synthcp.system.provenance import command_line, commit, hardware
from synthcp.verbs.checks import seen_in_fitting


def reproduce_table1(request: Request, progress: Progress = silent) -> str:
    """Fit what the table needs, once for each seed, judge it on every test, and write the table and Figure 5.

    Args:
        request: On what; a model leaves the other M out, and with it the test on an M that F was not fitted to.
        progress: Called after every step of every stage.

    Returns:
        The page, in Markdown, as written to out/table1.md.

    Raises:
        InputError: The data or options are unusable, or the folder holds runs on other data.
    """
    if request.model not in ("", *MODELS):
        raise InputError(f"table1 is about {' and '.join(MODELS)}, not {request.model!r}; choose one of them, or none")
    train = open_dataset(request.data)
    check_labels(train)
    tests = request.open_labelled_tests(train, "images", [with_split(request.data, "test")])
    judged: dict[str, dict[str, list[Judged]]] = {}
    facts = list[dict[str, str]]()
    for seed in request.numbers:
        runs = open_failure_runs(request, train, seed, progress)
        for model, run in runs.items():
            facts.append(_facts(request, run))
            rows = _Rows(run, tuple(other for name, other in runs.items() if name != model), progress)
            for number, (spec, dataset) in enumerate(tests.items()):
                figure = request.out / f"figure5-{model}-{number}" if seed == 0 else None
                path = run.context.out / f"table1-{number}.json"
                judged.setdefault(spec, {}).setdefault(model, []).append(rows.judged(spec, dataset, path, figure))
    page = failure_page(judged, _told(facts))
    request.write("table1", page)
    return page


@dataclass(frozen=True)
class _Rows:
    """The rows of one M and seed.

    Attributes:
        run: Of this M.
        others: Of the other M.
        progress: Called after every image.
    """

    run: FailureRun
    others: tuple[FailureRun, ...]
    progress: Progress

    def judged(self, spec: str, dataset: Dataset, path: Path, figure: Path | None) -> Judged:
        """What they say of one test; that on disk, if it is of this test, this code and these rows."""
        seen = str(seen_in_fitting(dataset, self.run.context.dataset.ids))
        facts = {"data": spec, "commit": commit(), SEEN: seen, "others": ", ".join(run.model for run in self.others)}
        cases = path.with_suffix(".safetensors")
        if path.exists() and cases.exists():
            kept = from_json(path.read_text(encoding="utf-8"))
            if all(kept.settings.get(name) == fact for name, fact in facts.items()) and "dirty" not in commit():
                return Judged(kept, FailureScores(cases))
        classes = self.run.context.settings.classes
        watch = FailureCases(COMPARED, [classes.names.index(name) for name in classes.structures])
        results = self._evaluated(dataset, facts | costs(self.run, dataset[0]), watch)
        if figure is not None:
            figure5(self.run, dataset, self.run.detector(SHIPPED), figure)
        watch.save(cases)
        write_text(path, to_json(results))
        return Judged(results, FailureScores(cases))

    def _evaluated(self, dataset: Dataset, facts: Mapping[str, str], watch: FailureCases) -> Results:
        context = self.run.context
        stage = f"seed {context.seed}, {self.run.model}: {facts['data']}"
        return judge(
            self._detectors(),
            self.run.segmenter,
            dataset,
            runtime=context.runtime,
            side=context.settings.scale.side,
            classes=context.settings.classes,
            facts=facts,
            progress=lambda step, steps: self.progress(stage, step, steps, {}),
            watch=watch,
        )

    def _detectors(self) -> dict[str, Detector]:
        foreign = {f"SynthCP, fitted to {other.model}": self.run.detector(SHIPPED, other) for other in self.others}
        return {**self.run.rivals, **foreign, **self.run.repeated(), **self.run.learned()}


def _facts(request: Request, run: FailureRun) -> dict[str, str]:
    """What every number of the page must be read with."""
    context = run.context
    scale = context.settings.scale
    return {
        "data": request.data,
        "scale": f"{request.scale}: shorter side {scale.side}; M {scale.segmentation.steps}, G {scale.gan.steps}, F "
        f"{scale.comparator.steps} steps",
        "seeds": ", ".join(map(str, request.numbers)),
        "training images": str(len(context.dataset)),
        "imperfect predictions": f"{scale.folds} folds, views {', '.join(run.gathered.views)}",
        "fit": f"commit {context.settings.facts.get('commit', '')}, {context.runtime.precision}",
        "command": command_line(),
        "commit": commit(),
        "hardware": hardware(context.runtime.device),
    }


def _told(facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The facts of all runs; where they differ, each value once."""
    return {name: "; ".join(dict.fromkeys(one[name] for one in facts)) for name in facts[0]}
