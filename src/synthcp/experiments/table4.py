"""Table 4: the threshold t above which MSP takes the place of SynthCP's distance; it takes the runs of Table 3."""

from __future__ import annotations

from synthcp.experiments.page import Paper
from synthcp.experiments.table import Table
from synthcp.experiments.table3 import NOTE, PROTOCOLS, anomaly_scores, read_with

PAPER: Paper = {
    "t = 0.8": (28.6, 88.3, 7.4),
    "t = 0.9": (28.5, 88.4, 7.7),
    "t = 0.99": (28.2, 88.6, 8.8),
    "t = 0.999": (28.4, 88.5, 9.3),
    "t = 1.0": (46.0, 81.9, 8.1),
}

TABLE4 = Table(
    name="table4",
    title="Table 4: the threshold t of the refinement by MSP",
    note=NOTE,
    models=("pspnet",),
    rows={
        "t = 0.8": "distance-0.8",
        "t = 0.9": "distance-0.9",
        "t = 0.99": "distance-0.99",
        "t = 0.999": "distance",
        "t = 1.0": "distance-1",
    },
    sections=(read_with, anomaly_scores(PAPER, "t = 1.0")),
    protocols=PROTOCOLS,
    anomalies=True,
    folder="anomaly",
)
