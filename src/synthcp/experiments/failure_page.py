"""The page of Table 1: ours beside the paper's and their difference, with controls, intervals and costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synthcp.evaluation import RAW, Results
from synthcp.experiments.costs import COST
from synthcp.experiments.failure_cases import ERROR_SCORES, QUALITY_SCORES, FailureScores, difference
from synthcp.experiments.failure_run import ABLATIONS, REPEATED
from synthcp.experiments.spread import Spread, markdown
from synthcp.metrics.bootstrap import Interval

TITLE = "Table 1: failure detection"
NOTE = (
    "Mean ± standard deviation over seeds, in percent. AP-Err, AP-Suc and AUC (higher is better) and FPR95 (lower) of"
    " the error map, over the pixels of all images together; MAE and STD of the absolute residual (lower), Pearson's "
    "and Spearman's correlation (higher) of the predicted IoU of each class over the images that hold it, mean over "
    "the classes. A row that ends in -raw is F's verdict by itself, the row without it the score in use: of ours M's "
    "doubt is blended in, of official MSP added, of paper there is the verdict alone. All F of one M learn from the "
    "same predictions for the same number of steps: direct has SynthCP's inputs, losses and capacity, and the image "
    "in the drawing's place; half capacity has no second image, as the authors' release; the rows paper and official "
    "are F as the text and as the release have it, without what ours adds, and direct, paper is the first of them "
    "without a drawing. Columns of the paper and differences to them: Cityscapes (val, 512x256), so they compare only"
    " when that is the data; its FPR95 is a mean over images. A gain counts when the controls (direct prediction, "
    "untrained G) do not show it as well."
)
PIXEL = {"AP-Err": "ap_error", "AP-Suc": "ap_success", "AUC": "auroc", "FPR95": "fpr95"}
IMAGE = {"MAE": "mae", "STD": "std", "P.C.": "pearson", "S.C.": "spearman"}
PAPER_PIXEL = {
    "fcn8": {
        "MSP": (50.31, 99.02, 91.54, 25.34),
        "MC dropout": (49.23, 99.02, 91.47, 25.16),
        "TCP": (48.54, 98.82, 90.29, 32.21),
        "direct, half capacity": (52.17, 99.15, 92.55, 22.34),
        "SynthCP, pixel level alone": (54.14, 99.15, 92.70, 22.47),
        "SynthCP": (55.53, 99.18, 92.92, 22.47),
    },
    "deeplab": {
        "MSP": (48.46, 99.24, 92.26, 24.41),
        "MC dropout": (47.85, 99.23, 92.19, 24.68),
        "TCP": (45.57, 98.84, 89.14, 36.98),
        "direct, half capacity": (48.76, 99.34, 92.94, 21.56),
        "SynthCP, pixel level alone": (48.79, 99.31, 92.74, 22.15),
        "SynthCP": (49.99, 99.34, 92.98, 21.69),
    },
}
PAPER_IMAGE = {
    "fcn8": {
        "MC dropout": (17.28, 13.33, 3.62, 5.97),
        "VAE alarm": (16.28, 11.88, 21.82, 18.26),
        "direct, half capacity": (13.25, 11.96, 58.34, 59.74),
        "SynthCP, image level alone": (11.58, 11.50, 64.63, 65.63),
        "SynthCP": (12.69, 11.29, 62.52, 61.23),
    },
    "deeplab": {
        "MC dropout": (19.31, 12.86, 4.55, 1.37),
        "VAE alarm": (16.78, 12.21, 17.92, 19.63),
        "direct, half capacity": (14.45, 12.20, 60.94, 62.01),
        "SynthCP, image level alone": (13.60, 12.32, 62.51, 63.41),
        "SynthCP": (13.68, 11.60, 64.05, 65.42),
    },
}
"""Table 1 of the paper: the same columns, in percent; ours joint is SynthCP, ours separate the two rows alone."""
SEEN = "seen in fitting"
"""Fact of a test: how many of its image ids are those of training images."""
PAIRS = (
    ("SynthCP, paper", "direct, paper"),
    ("SynthCP-raw", "direct-raw"),
    ("SynthCP-raw", "SynthCP, untrained G-raw"),
    ("SynthCP", "direct"),
    ("SynthCP", "SynthCP, untrained G"),
    ("SynthCP", "MSP"),
)
"""Of which rows the difference is shown, with its interval."""
COMPARED = tuple(dict.fromkeys(row for pair in PAIRS for row in pair))


@dataclass(frozen=True)
class Judged:
    """What all rows say of one test, for one M and seed.

    Attributes:
        results: Their scores.
        scores: Those of the compared rows on any choice of images.
    """

    results: Results
    scores: FailureScores


def failure_page(judged: Mapping[str, Mapping[str, Sequence[Judged]]], facts: Mapping[str, str]) -> str:
    """Return the page in Markdown.

    Args:
        judged: By SPEC of the test and name of M, one for each seed.
        facts: What every number must be read with.
    """
    sections = [
        _section(f"{model}, {spec}", model, seeds, f"figure5-{model}-{number}")
        for number, (spec, models) in enumerate(judged.items())
        for model, seeds in models.items()
    ]
    settings = markdown(["Setting", "Value"], [[name, value] for name, value in facts.items()])
    return "\n\n".join([f"# {TITLE}", NOTE, *sections, "## Settings", settings]) + "\n"


def _section(title: str, model: str, seeds: Sequence[Judged], figure: str) -> str:
    results = [one.results for one in seeds]
    parts = [f"## {title}", _conditions(results)]
    parts += ["### Pixel level", _table(results, PIXEL, PAPER_PIXEL[model], "error_pooled")]
    parts += ["### Image level", _table(results, IMAGE, PAPER_IMAGE[model], "quality")]
    parts += ["### Mean over images", _per_image(results)]
    parts += [
        "### Differences",
        "Of the means over seeds, with 95 % intervals of a paired bootstrap over the images:",
        _differences([one.scores for one in seeds]),
    ]
    names = [row.name for row in results[0].detectors]
    parts += ["### Other generators", _generators(results[0])] if any(name in ABLATIONS for name in names) else []
    parts += ["### Heads", _heads(results[0])] if any(REPEATED in name for name in names) else []
    parts += ["### Cost", "Time on one image at the working size, as a multiple of M's:", _costs(results[0])]
    parts += [f"Figure 5, in the folder of the runs: `{figure}.png` (errors), `{figure}-iou.png` (quality)."]
    return "\n\n".join(parts)


def _paper(numbers: Mapping[str, tuple[float, ...]], name: str) -> tuple[float, ...]:
    """What the paper says of a row; its joint F is both our own and the one that follows its text."""
    return numbers.get("SynthCP" if name == "SynthCP, paper" else name, (math.nan,) * 4)


def _table(
    results: Sequence[Results], columns: Mapping[str, str], paper: Mapping[str, tuple[float, ...]], kind: str
) -> str:
    """Ours, the paper's and the difference, column by column."""
    header = ["Detector", *(f"{column}{part}" for column in columns for part in ("", ", paper", ", difference"))]
    rows = []
    for name in _rows(results, kind):
        spreads = [_spread(results, name, kind, score) for score in columns.values()]
        cells = [_beside(ours, theirs) for ours, theirs in zip(spreads, _paper(paper, name), strict=True)]
        rows.append([name, *(cell for triple in cells for cell in triple)])
    return markdown(header, rows)


def _beside(ours: Spread, paper: float) -> tuple[str, str, str]:
    if math.isnan(paper):
        return str(ours), "-", "-"
    return str(ours), f"{paper:.1f}", "-" if math.isnan(ours.mean) else f"{100 * ours.mean - paper:+.1f}"


def _per_image(results: Sequence[Results]) -> str:
    """Error detection within each image, as the authors' release has its FPR95."""
    columns = {"AP-Err": "ap_error", "AUC": "auroc", "FPR95": "fpr95", "FPR95, nearest recall": "fpr95_nearest"}
    rows = [
        [name, *(str(_spread(results, name, "error_per_image", score)) for score in columns.values())]
        for name in _rows(results, "error_per_image")
    ]
    return markdown(["Detector", *columns], rows)


def _rows(results: Sequence[Results], kind: str) -> list[str]:
    """The rows of every seed that say something of a kind; further heads and generators are those of one seed."""
    everywhere = set.intersection(*({row.name for row in one.detectors} for one in results))
    found = [row.name for row in results[0].detectors if getattr(row, kind) is not None and row.name in everywhere]
    return [name for name in found if not _is_of_first_seed(name)]


def _is_of_first_seed(name: str) -> bool:
    return REPEATED in name or name.removesuffix(RAW) in ABLATIONS


def _spread(results: Sequence[Results], name: str, kind: str, score: str) -> Spread:
    found = [next(row for row in one.detectors if row.name == name) for one in results]
    return Spread(tuple(float(getattr(getattr(row, kind), score)) for row in found))


def _differences(seeds: Sequence[FailureScores]) -> str:
    names = [*ERROR_SCORES, *QUALITY_SCORES]
    rows = []
    for first, second in PAIRS:
        known = {name: all(one.has(row, name) for one in seeds for row in (first, second)) for name in names}
        cells = [_in_percent(difference(seeds, first, second, name)) if known[name] else "-" for name in names]
        rows.append([f"{first} minus {second}", *cells])
    return markdown(["Difference", *names], rows)


def _in_percent(interval: Interval) -> str:
    if math.isnan(interval.value):
        return "-"
    return f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def _generators(results: Results) -> str:
    """Rows of other generators beside the same rows of SPADE, of one seed."""
    text = "Of the first seed; in the paper AP-Err is 55.5 with SPADE, 51.3 with pix2pixHD, 55.2 with a style encoder:"
    shown = [name for row in (*ABLATIONS, "SynthCP, untrained G", "SynthCP") for name in (row + RAW, row)]
    rows = [[name, *_all_columns(results, [name])] for name in shown]
    return "\n\n".join([text, markdown(["Detector", *PIXEL, *IMAGE], rows)])


def _heads(results: Results) -> str:
    """Mean and deviation over seeds of F alone, at the M and G of one seed."""
    names = [row.name for row in results.detectors]
    groups = {name: [other for other in names if _head_of(other) == name] for name in names}
    repeated = {name: [name, *group] for name, group in groups.items() if group}
    rows = [[name, *_all_columns(results, group)] for name, group in repeated.items()]
    times = max(map(len, repeated.values()))
    text = f"F alone fitted anew, {times} times in all, with the M and G of the first seed:"
    return "\n\n".join([text, markdown(["Detector", *PIXEL, *IMAGE], rows)])


def _head_of(name: str) -> str:
    """The row whose head was fitted again, "" of other rows; the verdict of a repeated head belongs to the verdict."""
    row, again, number = name.partition(REPEATED)
    return row * bool(again) + RAW * number.endswith(RAW)


def _all_columns(results: Results, names: Sequence[str]) -> list[str]:
    """Mean and deviation over some rows, in all eight columns."""
    rows = [row for row in results.detectors if row.name in names]
    pixel = [row.error_pooled for row in rows if row.error_pooled is not None]
    image = [row.quality for row in rows if row.quality is not None]
    spreads = [Spread(tuple(float(getattr(one, score)) for one in pixel)) for score in PIXEL.values()]
    spreads += [Spread(tuple(float(getattr(one, score)) for one in image)) for score in IMAGE.values()]
    return list(map(str, spreads))


def _costs(results: Results) -> str:
    found = {name.removeprefix(COST): fact for name, fact in results.settings.items() if name.startswith(COST)}
    return markdown(["", *found], [["time / M", *found.values()]])


def _conditions(results: Sequence[Results]) -> str:
    """What the numbers of one test must be read with."""
    judged = next(row for row in reversed(results[0].detectors) if row.quality is not None).quality
    assert judged is not None  # the last row is SynthCP's
    parts = [
        f"{results[0].images} images, {len(results)} seeds",
        f"mIoU of M {Spread(tuple(one.mean_quality for one in results))}",
        f"wrong pixels, the AP-Err of chance, {Spread(tuple(_prevalence(one) for one in results))}",
        f"{judged.classes} classes in MAE and STD, {judged.correlated_classes} in the correlations",
    ]
    if (seen := results[0].settings[SEEN]) != "0":
        parts.append(f"{seen} image ids were among those of the fit, so the scores may flatter")
    return "; ".join(parts) + "."


def _prevalence(results: Results) -> float:
    found = next(row.error_pooled for row in results.detectors if row.error_pooled is not None)
    return found.prevalence
