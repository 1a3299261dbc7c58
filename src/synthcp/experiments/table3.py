"""Table 3: anomaly segmentation by SynthCP, its rivals and its controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from synthcp.evaluation.results import Row
from synthcp.experiments.figures import figure7
from synthcp.experiments.page import (
    UNKNOWN,
    Column,
    Paper,
    Score,
    conditions,
    of_paper,
    ours,
    quality_of_m,
    ratio_to,
    score_table,
)
from synthcp.experiments.table import SeedResult, Shown, Table
from synthcp.rivals.crf import require_pydensecrf

PROTOCOLS = ("caos", "pooled")
NOTE = (
    "Mean ± standard deviation over seeds, in percent; FPR95: smaller is better. Columns of the paper: StreetHazards, "
    "protocol caos, so they compare with a row only when that is the data. A difference between two rows counts when "
    "the controls (no synthesis, untrained G) do not show it as well."
)
METRICS = {"FPR95": "fpr95", "AUROC": "auroc", "AUPR": "aupr"}
SCORES = [Score(f"{metric}, {way}", "anomaly", name, way) for way in PROTOCOLS for metric, name in METRICS.items()]
AUPR = {way: Score("AUPR", "anomaly", "aupr", way) for way in PROTOCOLS}
CHANCE = Row("chance")
ROWS = {
    "AE": "autoencoder",
    "dropout": "dropout",
    "msp": "msp",
    "msp + crf": "msp-crf",
    "entropy": "entropy",
    "max-logit": "max-logit",
    "energy": "energy",
    "standardized max-logit": "standardized-max-logit",
    "Mahalanobis": "mahalanobis",
    "kNN": "knn",
    "SynthCP, paper, untrained G": "distance-untrained",
    "SynthCP, paper": "distance",
    "SynthCP, official": "distance-official",
    "kNN on F's trunk": "trunk-knn",
    "density on F's trunk": "trunk-density",
    "synthesis of features": "surprise",
    "SynthCP, ours, no synthesis": "fused-blind",
    "SynthCP, ours, untrained G": "fused-untrained",
    "SynthCP, ours": "fused",
}
PAPER: Paper = {
    "AE": (91.7, 66.1, 2.2),
    "dropout": (79.4, 69.9, 7.5),
    "msp": (33.7, 87.7, 6.6),
    "msp + crf": (29.9, 88.1, 6.5),
    "SynthCP, paper": (28.4, 88.5, 9.3),
}
"""FPR95, AUROC and AUPR on StreetHazards, in percent."""


def anomaly_scores(paper: Paper, reference: str) -> Callable[[Shown], str]:
    """Return the section of all scores, of their AUPR over that of a reference row, and of the paper's."""
    columns = [ours(score) for score in SCORES]
    columns += [ratio_to(reference, AUPR[way], f"AUPR / {reference}, {way}") for way in PROTOCOLS]
    columns += [of_paper(metric, paper, place) for place, metric in enumerate(METRICS)]

    def section(shown: Shown) -> str:
        rows = [CHANCE, *(Row(label) for label in shown.table.rows)]
        return score_table(shown.seeds, rows, [_or_chance(column) for column in columns])

    return section


def _or_chance(column: Column) -> Column:
    """The column, with what a score says that knows nothing: no order."""
    guess = {f"{metric}, {way}": text for way in PROTOCOLS for metric, text in (("FPR95", "95.0"), ("AUROC", "50.0"))}
    shares = {f"AUPR, {way}": way for way in PROTOCOLS}

    def cell(seeds: Sequence[SeedResult], row: Row) -> str:
        if row != CHANCE:
            return column.cell(seeds, row)
        if column.heading in shares:
            anomaly = seeds[0].results.detectors[0].anomaly[shares[column.heading]]
            return f"{100 * anomaly.prevalence:.1f}"
        return guess.get(column.heading, UNKNOWN)

    return Column(column.heading, cell)


def read_with(shown: Shown) -> str:
    """Return what the numbers of one test must be read with."""
    anomaly, parts = shown.seeds[0].results.detectors[0].anomaly, []
    for name in PROTOCOLS:
        scores = anomaly[name]
        share = f"{100 * scores.prevalence:.2f} % of the judged pixels anomalous, {100 * scores.void_share:.1f} % void"
        parts.append(f"{name}: {scores.images} images judged, {scores.skipped} skipped, {share}")
    return conditions(shown, [*parts, quality_of_m(shown)])


TABLE3 = Table(
    name="table3",
    title="Table 3: anomaly segmentation",
    note=NOTE,
    models=("pspnet",),
    rows=ROWS,
    sections=(read_with, anomaly_scores(PAPER, "msp")),
    protocols=PROTOCOLS,
    anomalies=True,
    figure=lambda pictured: figure7(pictured, ("msp", "SynthCP, paper", "SynthCP, ours")),
    figure_name="figure7",
    folder="anomaly",
    require=require_pydensecrf,
)
