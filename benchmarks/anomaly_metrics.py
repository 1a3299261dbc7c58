"""Speed and memory of pooled and per-image anomaly metrics in one pass over large frames, beside scikit-learn.

Scores are normal, those of anomalies 1.5 higher; 1.6 % of the pixels are anomalous and 6 % void. Sampling is not timed.
scikit-learn holds all pixels at once, so it is given the first frames only; ours is timed over all of them, and for the
ratio once more over those first ones. Seconds are those of the processor, so that other jobs count for little.

Run: OMP_NUM_THREADS=1 python benchmarks/anomaly_metrics.py [--frames 500] [--sklearn-frames 5]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from synthcp.metrics.protocols import PROTOCOLS, AnomalyScores

Maps = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]
HEIGHT, WIDTH = 1024, 2048
NAMES = ("caos", "pooled")
MIB = 1024 if sys.platform != "darwin" else 1024**2  # the unit of ru_maxrss is KiB, on macOS bytes


def main() -> None:
    """Measure ours over all frames, then scikit-learn over the first ones, and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--sklearn-frames", type=int, default=5)
    arguments = parser.parse_args()
    few = min(arguments.frames, arguments.sklearn_frames)
    print(f"{arguments.frames} frames of {HEIGHT} x {WIDTH}, {arguments.frames * HEIGHT * WIDTH:,} pixels", flush=True)
    start = peak_mib()
    scores, seconds = score_with_synthcp(arguments.frames)
    print_speed("synthcp", arguments.frames, seconds, f"peak {peak_mib():.0f} MiB resident, {start:.0f} before")
    for name, found in zip(NAMES, scores, strict=True):
        print(f"  {name:8}AUROC {found.auroc:.6f}  AUPR {found.aupr:.6f}  FPR95 {found.fpr95:.6f}")
    expected, their_seconds = score_with_scikit_learn(few)
    print_speed("scikit-learn", few, their_seconds, f"peak {peak_mib():.0f} MiB resident")
    ours, seconds = score_with_synthcp(few)
    print(f"pixels per second on these frames, synthcp over scikit-learn: {their_seconds / sum(seconds):.1f}")
    found = [value for one in ours for value in (one.auroc, one.aupr)] + [ours[1].fpr95]
    print(f"largest difference on the first {few} frames: {np.abs(np.subtract(found, expected)).max():.1e}")


def score_with_synthcp(frames: int) -> tuple[list[AnomalyScores], list[float]]:
    """Scores of both protocols in one pass, and the processor seconds that each took."""
    protocols, seconds = [PROTOCOLS[name]() for name in NAMES], [0.0, 0.0]
    for index in range(frames):
        maps = draw(index)
        for number, protocol in enumerate(protocols):
            start = time.process_time()
            protocol.update(*maps)
            seconds[number] += time.process_time() - start
    start = time.process_time()
    scores = [protocol.compute() for protocol in protocols]
    seconds[1] += time.process_time() - start
    return scores, seconds


def score_with_scikit_learn(frames: int) -> tuple[list[float], float]:
    """AUROC and AUPR per image and pooled, the pooled FPR95, and the processor seconds they took."""
    maps = [draw(index) for index in range(frames)]
    start = time.process_time()
    pixels = [(anomaly[judged], scores[judged]) for scores, anomaly, judged in maps]
    per_image = np.mean([three_scores(*one)[:2] for one in pixels], axis=0)
    pooled = three_scores(*map(np.concatenate, zip(*pixels, strict=True)))
    return [*per_image, *pooled], time.process_time() - start


def three_scores(anomaly: NDArray[np.bool_], scores: NDArray[np.float32]) -> list[float]:
    """AUROC, AUPR and FPR95 by scikit-learn, which sorts the pixels once for each."""
    fpr, tpr, _ = roc_curve(anomaly, scores)
    found = float(fpr[(tpr >= 0.95).argmax()])
    return [float(roc_auc_score(anomaly, scores)), float(average_precision_score(anomaly, scores)), found]


def draw(index: int) -> Maps:
    """One frame: scores, a block of anomalies in the middle, and all but the lowest rows judged."""
    scores = np.random.default_rng(index).standard_normal((HEIGHT, WIDTH), np.float32)
    anomaly, judged = np.zeros((2, HEIGHT, WIDTH), np.bool_)
    anomaly[HEIGHT // 2 :][:128, 896:1152] = True
    judged[: HEIGHT - 64] = True
    scores[anomaly] += np.float32(1.5)
    return scores, anomaly, judged


def print_speed(contender: str, frames: int, seconds: Sequence[float] | float, memory: str) -> None:
    """One line."""
    total = float(np.sum(seconds))
    parts = f" ({', '.join(f'{name} {part:.1f}' for name, part in zip(NAMES, np.atleast_1d(seconds), strict=False))})"
    speed = frames * HEIGHT * WIDTH / total / 1e6
    print(
        f"{contender:13}{frames} frames in {total:.1f} processor seconds{parts if np.size(seconds) > 1 else ''}, ",
        end="",
    )
    print(f"{speed:.2f} million pixels per second, {memory}", flush=True)


def peak_mib() -> float:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


if __name__ == "__main__":
    main()
