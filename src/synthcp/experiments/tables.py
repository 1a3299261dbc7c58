"""The tables that one command reproduces, by name, and how: fit, judge, write the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from synthcp.data.base import Dataset
from synthcp.data.check import check_labels
from synthcp.data.specs import open_dataset
from synthcp.errors import InputError
from synthcp.experiments.page import page_of
from synthcp.experiments.request import BROUGHT, TableRequest, open_tests
from synthcp.experiments.runs import Judges, open_runs
from synthcp.experiments.table import SeedResult, Table
from synthcp.experiments.table1 import TABLE1
from synthcp.experiments.table2 import TABLE2
from synthcp.experiments.table3 import TABLE3
from synthcp.experiments.table4 import TABLE4
from synthcp.fitting.fit_data import FitData
from synthcp.system.lock import locked
from synthcp.system.progress import Progress, silent
from synthcp.system.provenance import command_line, commit, hardware

TABLES: dict[str, Table] = {
    "table1": TABLE1,
    "table2": TABLE2,
    "table3": TABLE3,
    "table4": TABLE4,
}


def reproduce(table: Table, request: TableRequest, progress: Progress = silent) -> str:
    """Fit what a table needs, once for each seed, judge it on every test, and write the page and the figure.

    Args:
        table: Which one.
        request: On what.
        progress: Called after every step of every stage.

    Returns:
        The page, in Markdown, as written to out/NAME.md.

    Raises:
        InputError: The data or options are unusable, or the folder holds runs on other data or is being written by
            another run.
        MissingExtraError: A row needs a library that is not installed.
    """
    if len(table.models) > 1 and not {*request.models(table)} <= {BROUGHT, *table.models}:
        known = " and ".join(table.models)
        raise InputError(f"{table.name} is about {known}, not {request.fit.model!r}; choose one of them, or bring an M")
    table.require()
    train = open_dataset(request.data)
    check_labels(train)
    tests = open_tests(request, table, train)
    with ExitStack() as locks:
        for folder in request.folders:
            locks.enter_context(locked(folder))
        page = _page(table, request, train, tests, progress)
        request.write(table.name, page)
    return page


def _page(table: Table, request: TableRequest, train: Dataset, tests: Mapping[str, Dataset], progress: Progress) -> str:
    judged: dict[str, dict[str, list[SeedResult]]] = {spec: {} for spec in tests}
    facts = list[Mapping[str, str]]()
    for seed in request.numbers:
        runs = open_runs(table, request, train, seed, progress)
        for model, run in runs.items():
            facts.append(_facts(table, request, run))
            judges = Judges(table, run, next((other for other in runs.values() if other is not run), None), progress)
            for number, (spec, dataset) in enumerate(tests.items()):
                target = request.out / table.figure_file(model, number) if seed == 0 else None
                judged[spec].setdefault(model, []).append(judges.judged(spec, dataset, number, target))
    return page_of(table, judged, _told(facts))


def _facts(table: Table, request: TableRequest, run: FitData) -> Mapping[str, str]:
    """What every number of the page must be read with."""
    context = run.context
    scale, told = context.settings.scale, dict(context.settings.facts)
    steps = f"M {scale.segmentation.steps}, G {scale.gan.steps}, F {scale.comparator.steps} steps"
    return {
        "data": request.data,
        "M": told.pop("model"),
        "scale": f"{told['scale']}: shorter side {scale.side}; {steps}",
        "seeds": ", ".join(map(str, request.numbers)),
        f"training {table.kind}": str(len(context.dataset)),
        **{name: told[name] for name in ("trunk of F", "perceptual loss by") if name in told},
        **table.facts(run),
        "fit": f"commit {told.get('commit', '')}, {context.runtime.precision}",
        "command": command_line(),
        "commit": commit(),
        "hardware": hardware(context.runtime.device),
    }


def _told(facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The facts of all runs; where they differ, each value once."""
    return {name: "; ".join(dict.fromkeys(one[name] for one in facts)) for name in facts[0]}
