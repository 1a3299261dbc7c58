"""The tables that one command reproduces, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from synthcp.comparison.base import Detector
from synthcp.experiments.anomaly_run import AnomalyRun
from synthcp.experiments.anomaly_tables import AnomalyTable, reproduce
from synthcp.experiments.failure_tables import reproduce_table1
from synthcp.experiments.request import Request
from synthcp.experiments.volume_tables import reproduce_table2
from synthcp.rivals.crf import require_pydensecrf
from synthcp.system.progress import Progress

PAPER, OFFICIAL, SHIPPED = "SynthCP, paper", "SynthCP, official", "SynthCP, ours"
THRESHOLDS = (0.8, 0.9, 0.99, 0.999, 1.0)


def _table3(run: AnomalyRun) -> dict[str, Detector]:
    untrained = run.untrained_generator
    return {
        **run.rivals(),
        f"{PAPER}, untrained G": run.paper(generator=untrained),
        PAPER: run.paper(),
        OFFICIAL: run.official(),
        f"{SHIPPED}, no drawing": run.blind(),
        f"{SHIPPED}, untrained G": run.ours(untrained),
        SHIPPED: run.ours(),
    }


def _table4(run: AnomalyRun) -> dict[str, Detector]:
    return {f"t = {threshold}": run.paper(threshold) for threshold in THRESHOLDS}


ANOMALY_TABLES = {
    "table3": AnomalyTable(
        name="table3",
        title="Table 3: anomaly segmentation",
        detectors=_table3,
        paper={
            "AE": (91.7, 66.1, 2.2),
            "dropout": (79.4, 69.9, 7.5),
            "msp": (33.7, 87.7, 6.6),
            "msp + crf": (29.9, 88.1, 6.5),
            PAPER: (28.4, 88.5, 9.3),
        },
        reference="msp",
        pictured=("msp", PAPER, SHIPPED),
        require=require_pydensecrf,
    ),
    "table4": AnomalyTable(
        name="table4",
        title="Table 4: the threshold t of the refinement by MSP",
        detectors=_table4,
        paper={
            "t = 0.8": (28.6, 88.3, 7.4),
            "t = 0.9": (28.5, 88.4, 7.7),
            "t = 0.99": (28.2, 88.6, 8.8),
            "t = 0.999": (28.4, 88.5, 9.3),
            "t = 1.0": (46.0, 81.9, 8.1),
        },
        reference="t = 1.0",
    ),
}

Reproduce = Callable[[Request, Progress], str]
"""Runs a table: from what is asked for, and whom to tell of progress, to the page in Markdown."""

TABLES: dict[str, Reproduce] = {
    "table1": reproduce_table1,
    "table2": reproduce_table2,
    **{name: partial(reproduce, table) for name, table in ANOMALY_TABLES.items()},
}
