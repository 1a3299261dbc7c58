"""What each part costs, as a multiple of M: the paper's "extra computational cost", measured side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

import torch

from synthcp.comparison.base import Detector
from synthcp.comparison.evidence import Evidence
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.evaluation.results import Row
from synthcp.experiments.figures import seen_by_detectors
from synthcp.fitting.fit_data import FitData
from synthcp.fitting.heads import SHIPPED, SYNTHCP
from synthcp.records import Sample
from synthcp.rivals.dropout import MonteCarloDropout, dropouts_of

PASSES = 50
"""Of Monte Carlo dropout, as in the authors' release; the row of the table has fewer."""


def costs(run: FitData, detectors: Mapping[Row, Detector], sample: Sample, rounds: int = 5) -> dict[str, float]:
    """Return the time of each part over that of M, all on one image at the working size.

    The parts take turns, round after round, and the smallest time of each counts, so that what else the machine does
    falls on all of them alike. Nothing is measured where M's predictions are read from disk.
    """
    parts, device = {} if run.live is None else _parts(run, detectors, sample), run.context.runtime.device
    least = dict.fromkeys(parts, float("inf"))
    with torch.no_grad(), run.context.runtime.autocast():
        for part in list(parts) * rounds:
            start = time.perf_counter()
            parts[part]()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            least[part] = min(least[part], time.perf_counter() - start)
    return {part: seconds / least["M"] for part, seconds in least.items()}


def _parts(run: FitData, detectors: Mapping[Row, Detector], sample: Sample) -> dict[str, Callable[[], object]]:
    """Each part as a call on one image."""
    _, image, prediction = seen_by_detectors(run, sample)
    generator, distance = run.generators[SYNTHCP], FeatureDistance(run.segmenter)
    network = run.comparator(SHIPPED).network
    synthesis = generator.draw(prediction.label_map, image)
    evidence = Evidence(image, synthesis, prediction.logits, distance.feature_distances(image, synthesis, prediction))
    parts: dict[str, Callable[[], object]] = {
        "M": lambda: run.segmenter.predict("", image),
        "G": lambda: generator.draw(prediction.label_map, image),
        "eq. 9": lambda: distance.feature_distances(image, synthesis, prediction),
        "F": lambda: network(evidence),
    }
    rivals = {"VAE": detectors.get(Row("VAE alarm")), "TCP": detectors.get(Row("TCP"))}
    if dropouts_of(run.segmenter):
        rivals[f"dropout, {PASSES} passes"] = MonteCarloDropout(run.segmenter, PASSES)
    return parts | {name: partial(rival, image, prediction) for name, rival in rivals.items() if rival is not None}
