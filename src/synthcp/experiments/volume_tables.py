"""Table 2: failure detection in volumes, by SynthCP, its rivals, its ensembles and its controls, over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.data.check import check_labels
from synthcp.data.degradation import BLUR, FIELD, NOISE
from synthcp.data.specs import open_dataset, with_split
from synthcp.experiments.figure6 import figure6
from synthcp.experiments.quality_cases import SCORES, QualityCases, SeedScores
from synthcp.experiments.request import Request
from synthcp.experiments.spread import Spread, markdown
from synthcp.experiments.volume_run import VolumeRun, open_volume_run
from synthcp.metrics.bootstrap import Interval
from synthcp.metrics.overlap import image_dice
from synthcp.metrics.risk import risk_coverage
from synthcp.report.outputs import write_text
from synthcp.segmentation.base import at_size
from synthcp.system.progress import Progress, silent
from synthcp.system.provenance import command_line, commit, hardware
from synthcp.verbs.checks import seen_in_fitting

TITLE = "Table 2: failure detection in volumes"
NOTE = (
    "Predicted against true Dice of each structure, mean over the structures; mean ± standard deviation over seeds, "
    "in percent. MAE, STD and AURC: smaller is better. STD is the deviation of the absolute residual, as the authors' "
    "code has it; the rows that the paper quotes from others are of the signed one. A structure that neither "
    "prediction nor truth holds has Dice 1, one that only one of them holds 0. Columns of the paper: tumours of MSD "
    "Task07, AH-Net, 81 cases, so they compare with a row only when that is the data. A gain counts when the controls "
    "(direct prediction, untrained G, volume alone) do not show it as well."
)
PAPER = {
    "direct": (23.20, 29.81, 45.50, 45.36),
    "Jungo": (26.57, 29.78, -23.87, -20.23),
    "Kwon": (26.14, 29.24, 14.61, 14.70),
    "VAE alarm": (18.60, 13.73, 63.42, 58.47),
    "SynthCP": (18.13, 13.77, 61.11, 62.66),
    "SynthCP + VAE": (15.19, 13.37, 67.97, 71.35),
}
"""MAE, STD, P.C. and S.C. of Table 2, in percent; of the VAE alarm the authors' own implementation."""
RIVALS = (
    "what a score means is learnt from the imperfect predictions (views degraded0 and last) of every fourth training "
    "volume, which the VAE has not seen; Jungo: entropy of the mean softmax of 10 dropout passes, mean over the voxels "
    "predicted as the structure and 3 around; Kwon: total variance, mean over the voxels predicted as the structure; "
    "both and volume alone: isotonic; VAE alarm: a line"
)
PAPER_SCORES = ("MAE", "STD", "P.C.", "S.C.")
ENSEMBLES = {
    "direct + VAE": ("direct", "VAE alarm"),
    "untrained G + VAE": ("SynthCP, untrained G", "VAE alarm"),
    "SynthCP + VAE": ("SynthCP", "VAE alarm"),
}
PAIRS = (
    ("SynthCP + VAE", "SynthCP"),
    ("SynthCP + VAE", "VAE alarm"),
    ("SynthCP + VAE", "direct"),
    ("SynthCP + VAE", "direct + VAE"),
    ("SynthCP", "direct"),
    ("SynthCP", "SynthCP, untrained G"),
)
"""Of which rows the difference is shown, with its interval."""
COMPARED = ("MAE", "P.C.", "S.C.")
PICTURED = ("VAE alarm", "SynthCP", "SynthCP + VAE")


def reproduce_table2(request: Request, progress: Progress = silent) -> str:
    """Fit what the table needs, once for each seed, judge it on every test, and write the table and Figure 6.

    Args:
        request: On what; without tests, the split test of the data is judged degraded and as it is.
        progress: Called after every step of every stage.

    Returns:
        The page, in Markdown, as written to out/table2.md.

    Raises:
        InputError: The data or options are unusable, or the folder holds runs on other data.
        MissingExtraError: A library that volumes need is not installed.
    """
    train, clean = open_dataset(request.data), with_split(request.data, "test")
    check_labels(train)
    tests = request.open_labelled_tests(train, "volumes", [f"degraded:{clean}", clean])
    cases: dict[str, list[QualityCases]] = {spec: [] for spec in tests}
    facts = dict[str, str]()
    for seed in request.numbers:
        run = open_volume_run(request, train, seed, progress)
        facts = _facts(request, run)
        for number, (spec, dataset) in enumerate(tests.items()):
            path = run.context.out / f"table2-{number}.json"
            cases[spec].append(_judged(run, spec, dataset, path, progress))
    for number, seeds in enumerate(cases.values()):
        figure6(request.out / f"figure6-{number}.png", seeds[0], PICTURED)
    page = _page(cases, facts)
    request.write("table2", page)
    return page


def _judged(run: VolumeRun, spec: str, dataset: Dataset, path: Path, progress: Progress) -> QualityCases:
    """The cases of one test; those on disk, if they are of this test and this code."""
    facts = {"data": spec, "commit": commit(), "seen": str(seen_in_fitting(dataset, run.context.dataset.ids))}
    if path.exists():
        kept = QualityCases.from_json(path.read_text(encoding="utf-8"))
        if kept.facts == facts and "dirty" not in facts["commit"]:
            return kept
    cases = judge(run, dataset, run.detectors, facts, progress)
    for name, (first, second) in ENSEMBLES.items():
        cases = cases.with_mean(name, first, second)
    write_text(path, cases.to_json())
    return cases


@torch.no_grad()
def judge(
    run: VolumeRun,
    dataset: Dataset,
    detectors: Mapping[str, Detector],
    facts: dict[str, str],
    progress: Progress = silent,
) -> QualityCases:
    """Let M segment every volume, and every detector predict the Dice of its structures."""
    classes, runtime = run.context.settings.classes, run.context.runtime
    structures = [index for index in range(len(classes)) if index != classes.background]
    names = [classes.names[index] for index in structures]
    cases = QualityCases(facts, list(dataset.ids), names, [], [], {name: [] for name in detectors})
    for number, sample in enumerate(dataset):
        assert sample.label_map is not None  # check_labels ran before
        image = runtime.send(sample.image[None])
        with runtime.autocast():
            prediction = at_size(run.segmenter.predict(sample.id, image), image.shape[2:])
        predicted = prediction.label_map[0].cpu()
        dice = image_dice(sample.label_map, predicted, len(classes), classes.ignore_index)
        cases.true.append(dice[structures].tolist())
        cases.empty.append([not bool((predicted == index).any()) for index in structures])
        for name, detector in detectors.items():
            with runtime.autocast():
                quality = detector(image, prediction).class_quality
            assert quality is not None  # of every row
            cases.predicted[name].append(quality[0, structures].float().cpu().tolist())
        progress(f"seed {run.context.seed}: {facts['data']}", number + 1, len(dataset), {})
    return cases


def _page(cases: Mapping[str, Sequence[QualityCases]], facts: Mapping[str, str]) -> str:
    sections = [_section(spec, seeds) for spec, seeds in cases.items()]
    settings = markdown(["Setting", "Value"], [[name, value] for name, value in facts.items()])
    return "\n\n".join([f"# {TITLE}", NOTE, *sections, "## Settings", settings]) + "\n"


def _section(spec: str, seeds: Sequence[QualityCases]) -> str:
    parts = [f"## {spec}", _conditions(seeds), _scores(seeds, held_only=False), _differences(seeds)]
    if any(np.any(case.empty) for case in seeds):
        parts += ["Without structures that the prediction does not hold:", _scores(seeds, held_only=True)]
    return "\n\n".join(parts)


def _scores(seeds: Sequence[QualityCases], held_only: bool) -> str:
    scores = SeedScores(seeds, held_only)
    header = ["Detector", *SCORES, *(f"{score}, paper" for score in PAPER_SCORES)]
    rows = []
    for name in seeds[0].predicted:
        paper = [f"{value:.1f}" for value in PAPER.get(name, ())] or ["-"] * len(PAPER_SCORES)
        rows.append([name, *(str(Spread(scores.by_seed(name, score))) for score in SCORES), *paper])
    return markdown(header, rows)


def _differences(seeds: Sequence[QualityCases]) -> str:
    """Differences of rows with 95 % intervals."""
    scores = SeedScores(seeds)
    rows = [
        [f"{first} minus {second}", *(_in_percent(scores.difference(first, second, score)) for score in COMPARED)]
        for first, second in PAIRS
    ]
    heading = "Differences of the means over seeds, with 95 % intervals of a paired bootstrap over the cases:"
    return "\n\n".join([heading, markdown(["Difference", *COMPARED], rows)])


def _in_percent(interval: Interval) -> str:
    return f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def _conditions(seeds: Sequence[QualityCases]) -> str:
    """What the numbers of one test must be read with."""
    first = seeds[0]
    parts = [f"{len(first.ids)} volumes"]
    for column, name in enumerate(first.structures):
        true = [np.array(case.true)[:, column] for case in seeds]
        mean, spread = (Spread(tuple(float(part) for part in parts)) for parts in _moments(true))
        parts.append(f"{name}: true Dice {mean}, its deviation over the volumes {spread}")
    parts.append(f"{sum(int(np.sum(case.empty)) for case in seeds)} structures not predicted at all")
    oracle = [np.mean([risk_coverage(t, 1 - t).aurc for t in np.array(case.true).T]) for case in seeds]
    parts.append(f"AURC of the best order {Spread(tuple(map(float, oracle)))}")
    if first.facts["seen"] != "0":
        parts.append(f"{first.facts['seen']} ids were among those of the fit, so the scores may flatter")
    return "; ".join(parts) + "."


def _moments(columns: Sequence[NDArray[np.float64]]) -> tuple[list[float], list[float]]:
    return [float(column.mean()) for column in columns], [float(column.std()) for column in columns]


def _facts(request: Request, run: VolumeRun) -> dict[str, str]:
    """What every number of the page must be read with."""
    context = run.context
    scale = context.settings.scale
    return {
        "data": request.data,
        "M": f"{context.settings.model.spec}, {scale.segmentation.steps} steps",
        "scale": request.scale,
        "seeds": ", ".join(map(str, request.numbers)),
        "training volumes": str(len(context.dataset)),
        "imperfect predictions": f"{scale.folds} folds, views {', '.join(run.gathered.views)}",
        "degradation": f"uniform severity; at 1 noise {NOISE}, field 2^±{FIELD}, blur {BLUR} of the shortest side",
        "rivals": RIVALS,
        "fit": f"commit {context.settings.facts.get('commit', '')}, {context.runtime.precision}",
        "command": command_line(),
        "commit": commit(),
        "hardware": hardware(context.runtime.device),
    }
