"""Time and memory of streamed ranking scores beside scikit-learn's on the same pixels, one thread each.

Run: python benchmarks/streaming_metrics.py [--pixels 20000000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the parent stays small: a child's high-water mark starts at its parent's
    import numpy as np
    from numpy.typing import NDArray

    Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]

METRICS = ("auroc", "ap_error", "ap_success", "fpr95")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
MIB = 1024 if sys.platform != "darwin" else 1024**2  # the unit of ru_maxrss is KiB, on macOS bytes


def main() -> None:
    """Measure both contenders, each in a fresh process, and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=int, default=20_000_000)
    parser.add_argument("--contender", choices=("synthcp", "scikit-learn"), help="measure one, in this process")
    arguments = parser.parse_args()
    if arguments.contender:
        print(json.dumps(measure(arguments.contender, arguments.pixels)))
        return
    ours, theirs = (run_fresh(contender, arguments.pixels) for contender in ("synthcp", "scikit-learn"))
    print(f"{arguments.pixels:,} pixels, 10 % of them wrong, float32 scores, one thread\n")
    print(f"{'':12}{'synthcp':>14}{'scikit-learn':>14}{'':>4}")
    for name in ("seconds", "MiB"):
        print(f"{name:12}{ours[name]:14.2f}{theirs[name]:14.2f}   {theirs[name] / ours[name]:.1f} times less")
    for name in METRICS:
        print(f"{name:12}{ours[name]:14.8f}{theirs[name]:14.8f}   differs by {abs(ours[name] - theirs[name]):.1e}")


def run_fresh(contender: str, pixels: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--contender", contender, "--pixels", str(pixels)]
    answer = subprocess.run(command, env=os.environ | ONE_THREAD, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(answer.stdout)
    return measured


def measure(contender: str, pixels: int) -> dict[str, float]:
    """Scores, seconds and growth of the peak memory, in MiB, of one contender."""
    score = load(contender)
    scores, errors = draw(pixels)
    memory, start = peak_mib(), time.perf_counter()
    values = score(scores, errors)
    return dict(zip(METRICS, values, strict=True)) | {
        "seconds": time.perf_counter() - start,
        "MiB": peak_mib() - memory,
    }


def load(contender: str) -> Callable[[NDArray[np.float32], NDArray[np.bool_]], list[float]]:
    """The function of a contender, with its imports done."""
    if contender == "scikit-learn":
        import sklearn.metrics  # noqa: F401

        return score_with_scikit_learn
    import synthcp.metrics.ranking  # noqa: F401

    return score_with_synthcp


def score_with_synthcp(scores: NDArray[np.float32], errors: NDArray[np.bool_]) -> list[float]:
    """All metrics by `StreamingRanking`."""
    from synthcp.metrics.ranking import StreamingRanking

    ranking = StreamingRanking()
    ranking.update(scores, errors)
    result = ranking.compute()
    return [getattr(result, name) for name in METRICS]


def score_with_scikit_learn(scores: NDArray[np.float32], errors: NDArray[np.bool_]) -> list[float]:
    """All metrics by scikit-learn, which sorts the pixels once for each."""
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    fpr, tpr, _ = roc_curve(errors, scores)
    return [
        float(roc_auc_score(errors, scores)),
        float(average_precision_score(errors, scores)),
        float(average_precision_score(~errors, -scores)),
        float(fpr[(tpr >= 0.95).argmax()]),
    ]


def draw(pixels: int) -> Pixels:
    """Normal scores, those of errors 1.5 higher; in pieces, so that sampling leaves no high-water mark of its own."""
    import numpy as np

    rng = np.random.default_rng(0)
    scores, errors = np.empty(pixels, np.float32), np.empty(pixels, np.bool_)
    for start in range(0, pixels, 1 << 16):
        end = min(start + (1 << 16), pixels)
        errors[start:end] = rng.random(end - start) < 0.1
        scores[start:end] = rng.standard_normal(end - start) + 1.5 * errors[start:end]
    return scores, errors


def peak_mib() -> float:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


if __name__ == "__main__":
    main()
