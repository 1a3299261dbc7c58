"""Table 1: failure detection in the predictions of several M, by SynthCP, its rivals and its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from synthcp.evaluation.results import Row
from synthcp.experiments.cases import FAILURE_SCORES
from synthcp.experiments.costs import costs
from synthcp.experiments.figures import figure5
from synthcp.experiments.page import (
    Column,
    Paper,
    Score,
    Spread,
    beside_paper,
    conditions,
    differences,
    markdown,
    ours,
    quality_of_m,
    result_of,
    rows_of,
    score_table,
)
from synthcp.experiments.table import OTHER_M, FirstSeed, Shown, Table
from synthcp.fitting.fit_data import FitData

NOTE = (
    "Mean ± standard deviation over seeds, in percent. AP-Err, AP-Suc and AUC (higher is better) and FPR95 (lower) of"
    " the error map, over the pixels of all images together; MAE and STD of the absolute residual (lower), Pearson's "
    "and Spearman's correlation (higher) of the predicted IoU of each class over the images that hold it, mean over "
    "the classes. A row that ends in -raw is F's raw error map by itself, the row without it the score in use: of "
    "ours M's uncertainty is blended in, of official MSP added, of paper there is the raw error map alone. All F of "
    "one M learn from the same predictions for the same number of steps: direct has SynthCP's inputs, losses and "
    "capacity, and the image in the place of the synthesis; half capacity has no second image, as the authors' "
    "release; the rows paper and official are F as the text and as the release have it, without what ours adds, and "
    "direct, paper is the first of them without a synthesis. Columns of the paper and differences to them: Cityscapes "
    "(val, 512x256), so they compare only when that is the data; its FPR95 is a mean over images. A gain counts when "
    "the controls (direct prediction, untrained G) do not show it as well."
)
ROWS = {
    "chance": "chance",
    "constant": "constant",
    "MSP": "msp",
    "MC dropout": "dropout-quality",
    "TCP": "tcp",
    "VAE alarm": "vae-alarm",
    "SynthCP, fitted to the other M": OTHER_M,
    "direct, half capacity": "direct-half",
    "direct": "direct",
    "SynthCP, image level alone": "image-level",
    "SynthCP, pixel level alone": "pixel-level",
    "direct, paper": "direct-paper",
    "SynthCP, paper": "paper",
    "SynthCP, official": "official",
    "SynthCP, untrained G": "untrained",
    "SynthCP": "synthcp",
}
PIXEL = {"AP-Err": "ap_error", "AP-Suc": "ap_success", "AUC": "auroc", "FPR95": "fpr95"}
IMAGE = {"MAE": "mae", "STD": "std", "P.C.": "pearson", "S.C.": "spearman"}
PER_IMAGE = {"AP-Err": "ap_error", "AUC": "auroc", "FPR95": "fpr95", "FPR95, nearest recall": "fpr95_nearest"}
PAPER_PIXEL: dict[str, Paper] = {
    "fcn8": {
        "MSP": (50.31, 99.02, 91.54, 25.34),
        "MC dropout": (49.23, 99.02, 91.47, 25.16),
        "TCP": (48.54, 98.82, 90.29, 32.21),
        "direct, half capacity": (52.17, 99.15, 92.55, 22.34),
        "SynthCP, pixel level alone": (54.14, 99.15, 92.70, 22.47),
        "SynthCP": (55.53, 99.18, 92.92, 22.47),
        "SynthCP, paper": (55.53, 99.18, 92.92, 22.47),
    },
    "deeplab": {
        "MSP": (48.46, 99.24, 92.26, 24.41),
        "MC dropout": (47.85, 99.23, 92.19, 24.68),
        "TCP": (45.57, 98.84, 89.14, 36.98),
        "direct, half capacity": (48.76, 99.34, 92.94, 21.56),
        "SynthCP, pixel level alone": (48.79, 99.31, 92.74, 22.15),
        "SynthCP": (49.99, 99.34, 92.98, 21.69),
        "SynthCP, paper": (49.99, 99.34, 92.98, 21.69),
    },
}
PAPER_IMAGE: dict[str, Paper] = {
    "fcn8": {
        "MC dropout": (17.28, 13.33, 3.62, 5.97),
        "VAE alarm": (16.28, 11.88, 21.82, 18.26),
        "direct, half capacity": (13.25, 11.96, 58.34, 59.74),
        "SynthCP, image level alone": (11.58, 11.50, 64.63, 65.63),
        "SynthCP": (12.69, 11.29, 62.52, 61.23),
        "SynthCP, paper": (12.69, 11.29, 62.52, 61.23),
    },
    "deeplab": {
        "MC dropout": (19.31, 12.86, 4.55, 1.37),
        "VAE alarm": (16.78, 12.21, 17.92, 19.63),
        "direct, half capacity": (14.45, 12.20, 60.94, 62.01),
        "SynthCP, image level alone": (13.60, 12.32, 62.51, 63.41),
        "SynthCP": (13.68, 11.60, 64.05, 65.42),
        "SynthCP, paper": (13.68, 11.60, 64.05, 65.42),
    },
}
"""Table 1 of the paper: the same columns, in percent; ours joint is SynthCP, as shipped
and as the text has it, ours separate the two rows alone."""
PAIRS = (
    (Row("SynthCP, paper"), Row("direct, paper")),
    (Row("SynthCP", raw=True), Row("direct", raw=True)),
    (Row("SynthCP", raw=True), Row("SynthCP, untrained G", raw=True)),
    (Row("SynthCP"), Row("direct")),
    (Row("SynthCP"), Row("SynthCP, untrained G")),
    (Row("SynthCP"), Row("MSP")),
)


def _scores(columns: Mapping[str, str], part: str) -> list[Score]:
    return [Score(heading, part, name) for heading, name in columns.items()]


PIXEL_SCORES, IMAGE_SCORES = _scores(PIXEL, "error_pooled"), _scores(IMAGE, "quality")


def _level(shown: Shown, title: str, scores: Sequence[Score], columns: Sequence[Column]) -> str:
    """The rows that say something of one level."""
    rows = [row for row in rows_of(shown.table) if scores[0].said_by(shown.seeds, row)]
    return f"### {title}\n\n{score_table(shown.seeds, rows, columns)}"


def _with_paper(scores: Sequence[Score], paper: Paper) -> list[Column]:
    return [column for place, score in enumerate(scores) for column in beside_paper(score, paper, place)]


def pixel_level(shown: Shown) -> str:
    """Return error detection over the pixels of all images, ours beside the paper's."""
    return _level(shown, "Pixel level", PIXEL_SCORES, _with_paper(PIXEL_SCORES, PAPER_PIXEL.get(shown.model, {})))


def image_level(shown: Shown) -> str:
    """Return the quality of the classes, ours beside the paper's."""
    return _level(shown, "Image level", IMAGE_SCORES, _with_paper(IMAGE_SCORES, PAPER_IMAGE.get(shown.model, {})))


def per_image(shown: Shown) -> str:
    """Return error detection within each image, as the authors' release has its FPR95."""
    scores = _scores(PER_IMAGE, "error_per_image")
    return _level(shown, "Mean over images", scores, [ours(score) for score in scores])


def generators(shown: Shown) -> str:
    """Return the rows of other generators beside the same rows of SPADE, of the first seed."""
    if shown.model != shown.table.generators.model:
        return ""
    labels = (*shown.table.generators.rows, "SynthCP, untrained G", "SynthCP")
    rows = [Row(label, raw) for label in labels for raw in (True, False)]
    text = "Of the first seed; in the paper AP-Err is 55.5 with SPADE, 51.3 with pix2pixHD, 55.2 with a style encoder:"
    columns = [ours(score) for score in (*PIXEL_SCORES, *IMAGE_SCORES)]
    return f"### Other generators\n\n{text}\n\n{score_table(shown.seeds[:1], rows, columns)}"


def heads(shown: Shown) -> str:
    """Return mean and deviation over fits of F alone, at the M and G of the first seed."""
    repeated, scores = shown.table.repeated, (*PIXEL_SCORES, *IMAGE_SCORES)
    if shown.model != repeated.model:
        return ""
    fits, lines = (0, *range(2, repeated.fits + 1)), []
    for label in repeated.rows:
        for raw in (True, False):
            rows = [Row(label, raw, fit) for fit in fits]
            spreads = (Spread(tuple(score.of(shown.seeds[0], row) for row in rows)) for score in scores)
            lines.append([str(rows[0]), *map(str, spreads)])
    text = f"F alone fitted anew, {repeated.fits} times in all, with the M and G of the first seed:"
    return f"### Heads\n\n{text}\n\n{markdown(['Detector', *PIXEL, *IMAGE], lines)}"


def cost(shown: Shown) -> str:
    """Return what each part costs."""
    found = shown.seeds[0].costs
    if not found:
        return ""
    times = markdown(["", *found], [["time / M", *(f"{times:.2f}" for times in found.values())]])
    return f"### Cost\n\nTime on one image at the working size, as a multiple of M's:\n\n{times}"


def figure(shown: Shown) -> str:
    """Return where Figure 5 is."""
    name = shown.table.figure_file(shown.model, shown.number)
    return f"Figure 5, in the folder of the runs: `{name}.png` (errors), `{name}-iou.png` (quality)."


def read_with(shown: Shown) -> str:
    """Return what the numbers of one test must be read with."""
    shipped, chance = Row("SynthCP"), Score("", "error_pooled", "prevalence")
    judged = result_of(shown.seeds[0].results, shipped)
    assert judged is not None and judged.quality is not None  # SynthCP says all
    classes = (
        f"{judged.quality.classes} classes in MAE and STD, {judged.quality.correlated_classes} in the correlations"
    )
    wrong = f"wrong pixels, the AP-Err of chance, {chance.spread(shown.seeds, shipped)}"
    return conditions(shown, [quality_of_m(shown), wrong, classes])


def _facts(run: FitData) -> dict[str, str]:
    source = run.context.settings.facts["imperfect predictions"]
    return {"imperfect predictions": f"{source}; views {', '.join(run.gathered.views)}"}


TABLE1 = Table(
    name="table1",
    title="Table 1: failure detection",
    note=NOTE,
    models=("deeplab", "fcn8"),
    rows=ROWS,
    sections=(
        read_with,
        pixel_level,
        image_level,
        per_image,
        lambda shown: f"### Differences\n\n{differences(shown, FAILURE_SCORES, 'images')}",
        generators,
        heads,
        cost,
        figure,
    ),
    pairs=PAIRS,
    generators=FirstSeed("fcn8", {"SynthCP, pix2pixHD": "pix2pixhd", "SynthCP, style encoder": "styled"}),
    repeated=FirstSeed(
        "deeplab", {"direct": "direct", "SynthCP, untrained G": "untrained", "SynthCP": "synthcp"}, fits=5
    ),
    facts=_facts,
    costs=costs,
    figure=figure5,
    figure_name="figure5",
    folder="table1",
)
