"""What each part costs, as a multiple of M: the paper's "extra computational cost", measured side by side."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.comparison.siamese import Evidence
from synthcp.experiments.failure_run import FailureRun
from synthcp.experiments.strips import look
from synthcp.fitting.heads import SHIPPED, SYNTHCP
from synthcp.records import Sample
from synthcp.rivals.dropout import MonteCarloDropout

PASSES = 50
"""Of Monte Carlo dropout, as in the authors' release; the row of the table has fewer."""
COST = "cost of "
"""Before the name of a part among the facts of a result."""


def costs(run: FailureRun, sample: Sample, rounds: int = 5) -> dict[str, str]:
    """Return the time of each part over that of M, all on one image at the working size, as facts.

    The parts take turns, round after round, and the smallest time of each counts, so that what else the machine does
    falls on all of them alike.
    """
    parts, device = _parts(run, sample), run.context.runtime.device
    least = dict.fromkeys(parts, float("inf"))
    with torch.no_grad(), run.context.runtime.autocast():
        for part in list(parts) * rounds:
            start = time.perf_counter()
            parts[part]()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            least[part] = min(least[part], time.perf_counter() - start)
    return {f"{COST}{part}": f"{seconds / least['M']:.2f}" for part, seconds in least.items()}


def _parts(run: FailureRun, sample: Sample) -> dict[str, Callable[[], object]]:
    """Each part as a call on one image."""
    seen = look(run.segmenter, run.context, sample)
    image, prediction = seen.image, seen.prediction
    generator, distance = run.generators[SYNTHCP], FeatureDistance(run.segmenter)
    network = run.fitted(SHIPPED).network
    drawing = generator.draw(prediction.label_map, image)
    evidence = Evidence(image, drawing, prediction.logits, distance.disagreement(image, drawing, prediction))
    rivals, dropout = run.rivals, MonteCarloDropout(run.segmenter, PASSES)
    return {
        "M": lambda: run.segmenter.predict("", image),
        "G": lambda: generator.draw(prediction.label_map, image),
        "eq. 9": lambda: distance.disagreement(image, drawing, prediction),
        "F": lambda: network(evidence),
        "VAE": lambda: rivals["VAE alarm"](image, prediction),
        "TCP": lambda: rivals["TCP"](image, prediction),
        f"dropout, {PASSES} passes": lambda: dropout(image, prediction),
    }
