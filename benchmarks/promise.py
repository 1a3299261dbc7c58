"""Do the promises of a calibration hold? Random divisions into calibration and test images, simulated and real.

Run: python benchmarks/promise.py [--results FOLDER] [--markdown docs/results/promise.md]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
import torch
from numpy.typing import NDArray

from synthcp.monitor.anomaly_rule import fit_anomaly, score_curve
from synthcp.monitor.intervals import Intervals, fit_intervals
from synthcp.monitor.promise import Promise, images_for_share
from synthcp.monitor.review import THRESHOLDS, ReviewRule, fit_review
from synthcp.report.outputs import map_path, read_settings
from synthcp.report.pictures import IGNORED, read_grey, read_picture
from synthcp.report.rows import ResultRow, read_rows
from synthcp.system.files import save_text
from synthcp.system.provenance import command_line, commit, hardware, versions

Floats = NDArray[np.floating]
Fit = Callable[[Floats, Floats, Promise], ReviewRule]
Division = list[NDArray[np.int64]]  # the calibration images and the test images
ALPHAS, AREAS, DELTA = (0.05, 0.1, 0.2), (0.01, 0.02, 0.05), 0.1
BAD_SHARE = 0.3  # the floor is set so that this share of all images is bad
SIMULATED_DIVISIONS, REAL_DIVISIONS = 200, 50
IMAGES, CALIBRATION, PIXELS = 10_000, 200, 200
SIZES = (50, 100, 200, 400, 800)
WIDTH = 120  # of the lines of text that are written
SHOWN = (1.0, 0.9, 0.8, 0.6, 0.4, 0.2, 0.03, 0.02)  # how often an image shows each simulated class; the last are rare

INTRODUCTION = f"""\
Images are divided at random into calibration and test images, again and again; intervals and thresholds are set on the
first and judged on the second. Delta is {DELTA:g} throughout. All numbers but counts are in percent.

- **Coverage**: how often the true quality of a class lies in its interval. Mean over the divisions and the classes with
  a promise of their own; "worst class" is the class with the smallest mean; "any class" is the radius that rare classes
  get, judged on a class picked at random from each image. On average it should be 1 - alpha or more.
- **Risk**: the share of bad predictions among the accepted. It should be alpha at most in a share 1 - delta of the
  divisions or more; where nothing is accepted, the promise is kept. The naive control takes the most lenient threshold
  whose risk on the calibration images is alpha at most, without a test.
- **Area**: the share of an image's known pixels that is flagged as unknown. On average it should be what was promised
  at most."""


@dataclass(frozen=True)
class Scores:
    """What is known of N images with L classes.

    Attributes:
        names: Of the classes.
        true: Quality of each class, shape (N, L), NaN where an image does not show it.
        predicted: shape (N, L).
        true_quality: Of the images, shape (N,).
        predicted_quality: shape (N,).
        anomalies: Scores of the known pixels, shape (N, P), NaN beyond the last; P is 0 when they are unknown.
    """

    names: tuple[str, ...]
    true: Floats
    predicted: Floats
    true_quality: Floats
    predicted_quality: Floats
    anomalies: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.true)

    def __getitem__(self, chosen: NDArray[np.int64]) -> Scores:
        classes = self.true[chosen], self.predicted[chosen]
        images = self.true_quality[chosen], self.predicted_quality[chosen]
        return Scores(self.names, *classes, *images, self.anomalies[chosen])


def main() -> None:
    """Print, and on request write, what was promised and what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, help="folder that synthcp eval wrote; without it, simulated data only")
    parser.add_argument("--markdown", type=Path, help="write the tables for a document too")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    parts = ["# Is the promise kept?", INTRODUCTION, *simulated(np.random.default_rng(arguments.seed))]
    if arguments.results is not None:
        parts += real(arguments.results, np.random.default_rng(arguments.seed))
    text = "\n\n".join([*parts, settings(arguments.seed)]) + "\n"
    print(text)
    if arguments.markdown is not None:
        save_text(arguments.markdown, text)


def simulated(rng: np.random.Generator) -> Iterator[str]:
    """Independent images, many of them in the test: here the promises must hold."""
    scores = simulate(rng)
    yield "## Simulated"
    yield fill(
        f"{IMAGES} independent images, {CALIBRATION} of them for calibration in each of {SIMULATED_DIVISIONS} "
        f"divisions; {len(SHOWN)} classes, two of which are in 2-3 % of the images. The classes of one image depend on "
        "each other, and predictions of low quality are less exact. The standard error of a share of divisions is "
        "about 2 %, as is that of the coverage of the rarest class.",
        WIDTH,
    )
    yield from tables(scores, divide(rng, IMAGES, CALIBRATION, SIMULATED_DIVISIONS))
    yield from size_table(scores, rng)


def simulate(rng: np.random.Generator) -> Scores:
    """Qualities that depend within an image, and anomaly scores of which some images have more."""
    image = rng.beta(7, 3, (IMAGES, 1))
    true = np.clip(image + 0.12 * rng.standard_normal((IMAGES, len(SHOWN))), 0, 1)
    noise = 0.5 * rng.standard_normal((IMAGES, 1)) + rng.standard_normal((IMAGES, len(SHOWN)))
    predicted = np.clip(true + 0.18 * (1.2 - image) * noise, 0, 1)
    true[rng.random((IMAGES, len(SHOWN))) > SHOWN] = np.nan
    anomalies = 2 * rng.beta(2, 14, (IMAGES, PIXELS)) * rng.uniform(0.5, 1.6, (IMAGES, 1))
    names = tuple(f"class {number}" for number in range(len(SHOWN)))
    qualities = mean(true, axis=1), mean(np.where(np.isnan(true), np.nan, predicted), axis=1)
    return Scores(names, true, predicted, *qualities, anomalies.astype(np.float32))


def real(out: Path, rng: np.random.Generator) -> Iterator[str]:
    """The images of an evaluation, half of them for calibration."""
    scores = read(out)
    half = len(scores) // 2
    yield "## Real"
    yield fill(
        f"{len(scores)} images of `{out}`, {half} of them for calibration in each of {REAL_DIVISIONS} divisions. "
        "Frames of one video resemble their neighbours, and a random division puts neighbours on both sides. So this "
        "shows that the promise is kept when new images are like the calibration images; it does not show that it "
        "would be for another drive. The divisions share their images, and so few test images measure a risk "
        "only roughly: the share of divisions with a small enough risk can miss 1 - delta, or exceed it, by that noise "
        "alone.",
        WIDTH,
    )
    yield from tables(scores, divide(rng, len(scores), half, REAL_DIVISIONS))


def divide(rng: np.random.Generator, images: int, calibration: int, divisions: int) -> list[Division]:
    """Random divisions of the images, so many of them for calibration."""
    return [np.split(rng.permutation(images), [calibration]) for _ in range(divisions)]


def read(out: Path) -> Scores:
    """The images with ground truth in an output folder."""
    rows = [row for row in read_rows(out) if not np.isnan(row.true_error_share)]
    names = tuple(rows[0].true_class_quality)
    true = np.array([[row.true_class_quality[name] for name in names] for row in rows])
    predicted = np.array([[row.class_quality[name] for name in names] for row in rows])
    quality = np.array([row.mean_quality for row in rows])
    anomalies = [known_scores(out, row) for row in rows]
    padded = np.full((len(rows), max(map(len, anomalies))), np.nan, np.float32)
    for line, scores in zip(padded, anomalies, strict=True):
        line[: len(scores)] = scores
    return Scores(names, true, predicted, mean(true, axis=1), quality, padded)


def known_scores(out: Path, row: ResultRow) -> Floats:
    """Anomaly scores of the labelled pixels, as far as the folder has maps."""
    path = map_path(out, row.id, "anomaly_16bit")
    if not path.is_file():
        return np.empty(0)
    known = np.asarray(read_picture(map_path(out, row.id, "truth"))) != IGNORED
    return read_grey(path)[known] * read_settings(out).anomaly_range


def tables(scores: Scores, divisions: Sequence[Division]) -> Iterator[str]:
    """Intervals, review and area; every row is one promise."""
    floor = floor_of(scores)
    bad = (scores.true_quality < floor).mean()
    promises = [Promise(alpha, DELTA, floor) for alpha in ALPHAS]
    yield "### Intervals\n\n" + table(
        ["alpha", "coverage", "worst class", "any class", "mean width", "classes without a promise of their own"],
        [interval_row(scores, divisions, alpha) for alpha in ALPHAS],
    )
    yield f"### Review\n\nBad is a true image quality below {floor:g}: {percent(bad)} % of all images.\n\n" + table(
        ["alpha", "rule", "mean risk", "divisions with risk <= alpha", "accepted", "divisions that accept nothing"],
        [
            [f"{100 * promise.alpha:g}", name, *review_cells(scores, divisions, fit, promise)]
            for promise in promises
            for name, fit in (("learn then test", fit_review), ("naive", fit_naive))
        ],
    )
    if scores.anomalies.size:
        yield "### Area\n\n" + table(["promised", "mean", "largest of a division"], area_rows(scores, divisions))


def size_table(scores: Scores, rng: np.random.Generator) -> Iterator[str]:
    """What more calibration images bring, at alpha 0.1, beside the threshold that one would choose if one knew all."""
    promise = Promise(0.1, DELTA, floor_of(scores))
    best = fit_naive(scores.true_quality, scores.predicted_quality, promise)
    rows = []
    for size in SIZES:
        divisions = divide(rng, IMAGES, size, SIMULATED_DIVISIONS)
        _, kept, accepted, none = review_cells(scores, divisions, fit_review, promise)
        rows.append([str(size), accepted, kept, none, interval_row(scores, divisions, promise.alpha)[4]])
    head = ["images", "accepted", "divisions with risk <= alpha", "divisions that accept nothing", "mean width"]
    share = percent((scores.predicted_quality >= best.threshold).mean())
    note = f"Alpha 0.1. With all images known, {share} % could be accepted."
    yield f"### How many images\n\n{note}\n\n{table(head, rows)}"


def floor_of(scores: Scores) -> float:
    """The quality below which `BAD_SHARE` of all images are, to two digits."""
    return round(float(np.quantile(scores.true_quality, BAD_SHARE)), 2)


def interval_row(scores: Scores, divisions: Sequence[Division], alpha: float) -> list[str]:
    """Coverage and width of the intervals."""
    by_class, any_class, widths, rare = [], [], [], []
    for calibration, test in ((scores[left], scores[right]) for left, right in divisions):
        intervals = fit_intervals(calibration.true, calibration.predicted, scores.names, alpha)
        own = np.array([name not in intervals.rare for name in scores.names])
        by_class.append(np.where(own, mean(inside(intervals, test), axis=0), np.nan))
        any_class.append(mean(mean(inside(fit_common(calibration, alpha), test), axis=1)))
        widths.append(mean(np.array([2 * intervals.radii[name] for name in scores.names])[own]))
        rare.append((~own).sum())
    classes = mean(np.array(by_class), axis=0)
    shares = float(mean(classes)), float(np.nanmin(classes)), float(np.mean(any_class)), float(np.mean(widths))
    return [f"{100 * alpha:g}", *map(percent, shares), f"{np.mean(rare):.1f}"]


def fit_common(calibration: Scores, alpha: float) -> Intervals:
    """The radius that rare classes get, for every class: that of a class which is never shown."""
    absent = np.full((len(calibration), 1), np.nan)
    true, predicted = (np.hstack([values, absent]) for values in (calibration.true, calibration.predicted))
    radius = fit_intervals(true, predicted, (*calibration.names, "absent"), alpha).radii["absent"]
    return Intervals(dict.fromkeys(calibration.names, radius))


def inside(intervals: Intervals, test: Scores) -> Floats:
    """1 where the true quality is inside, 0 where not, NaN where the class is not shown; shape (N, L)."""
    radii = np.array([intervals.radii[name] for name in test.names])
    return np.where(np.isnan(test.true), np.nan, np.abs(test.true - test.predicted) <= radii)


def review_cells(scores: Scores, divisions: Sequence[Division], fit: Fit, promise: Promise) -> list[str]:
    """Risk and acceptance of a rule on the test images."""
    risks, shares, none = [], [], 0
    for calibration, test in ((scores[left], scores[right]) for left, right in divisions):
        rule = fit(calibration.true_quality, calibration.predicted_quality, promise)
        accepted = test.predicted_quality >= (np.inf if rule.threshold is None else rule.threshold)
        risks.append(float(mean((test.true_quality < promise.floor)[accepted].astype(float))))
        shares.append(accepted.mean())
        none += rule.threshold is None
    kept = [not risk > promise.alpha for risk in risks]  # NaN, of nothing accepted, keeps the promise
    return [*map(percent, (float(mean(np.array(risks))), np.mean(kept), np.mean(shares))), str(none)]


def fit_naive(true: Floats, predicted: Floats, promise: Promise) -> ReviewRule:
    """The most lenient threshold that would have kept the promise on the calibration images."""
    for threshold in THRESHOLDS[::-1]:
        accepted = predicted >= threshold
        if accepted.any() and (true < promise.floor)[accepted].mean() <= promise.alpha:
            return ReviewRule(float(threshold))
    return ReviewRule(None)


def area_rows(scores: Scores, divisions: Sequence[Division]) -> Iterator[list[str]]:
    """The false-alarm area on the test images, for each area that so many calibration images can promise."""
    known = ~np.isnan(scores.anomalies)
    curves = [score_curve(line[is_known]) for line, is_known in zip(scores.anomalies, known, strict=True)]
    for area in (area for area in AREAS if len(divisions[0][0]) >= images_for_share(area)):
        realised = []
        for left, right in divisions:
            threshold = fit_anomaly([curves[index] for index in left], area).threshold
            realised.append(((scores.anomalies > threshold).sum(axis=1) / known.sum(axis=1))[right].mean())
        yield [f"{100 * area:g}", *(f"{100 * value:.2f}" for value in (np.mean(realised), np.max(realised)))]


def mean(values: Floats, axis: int | None = None) -> Floats:
    """Mean of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    counts = known.sum(axis=axis)
    sums = np.where(known, values, 0).sum(axis=axis)
    return np.divide(sums, counts, out=np.full(np.shape(counts), np.nan), where=counts > 0)


def percent(share: float | np.floating) -> str:
    """Share x 100 with one decimal."""
    return "-" if np.isnan(share) else f"{100 * share:.1f}"


def table(head: list[str], rows: Sequence[list[str]] | Iterator[list[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def settings(seed: int) -> str:
    """Where the numbers come from."""
    facts = {
        "seed": str(seed),
        "hardware": hardware(torch.device("cpu")),
        "commit": commit(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "command": f"python benchmarks/{command_line()}",
    }
    return "### Settings\n\n" + table(["Setting", "Value"], list(map(list, facts.items())))


if __name__ == "__main__":
    main()
