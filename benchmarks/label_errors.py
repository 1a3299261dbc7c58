"""Planted label errors: how many does the audit find among its first suspects, beside the two obvious rivals?

Run: python benchmarks/label_errors.py --monitor runs/camvid --data camvid:data/camvid [--errors 30] [--seeds 3]

Without --monitor, a tiny one is fitted on drawn streets; that shows that the script works, and no more.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from synthcp.config.scales import SCALES
from synthcp.data.base import Dataset
from synthcp.data.derived import Derived
from synthcp.data.specs import open_dataset
from synthcp.fitting.config import FitConfig
from synthcp.fitting.heads import UNTRAINED, control_path
from synthcp.fitting.run import fit
from synthcp.monitor.monitor import Monitor
from synthcp.records import Sample
from synthcp.rivals.catalogue import fit_data_of
from synthcp.system.files import save_text
from synthcp.system.provenance import command_line, commit, hardware, versions
from synthcp.verbs.audit.case import case_of
from synthcp.verbs.audit.suspects import Suspect, suspects_of, worst_first
from synthcp.verbs.audit.suspicion import Evidence, fit_suspicion, loss_and_misfit

SHIPPED, CONTROL = "SynthCP: M's loss and the syntheses", "the same, with an untrained generator (control)"
METHODS: dict[str, Evidence] = {
    SHIPPED: loss_and_misfit,
    CONTROL: loss_and_misfit,
    "M's loss of the given label": lambda case: (case.loss,),
    "max-softmax disagreement": lambda case: (case.prediction.confidence[0],),  # where M agrees there is no region
}
COUNTS = (10, 20, 30, 60, 100)
SMALLEST = 0.005
SIDES = (1 / 8, 1 / 3)
OVERLAP = 0.25
DRAWN = "scenes:?count=24&size=48x64"
PROTOCOL = f"""- An error is a connected piece of one class, in a box with sides of {SIDES[0]:.3g} to {SIDES[1]:.3g} of
  the image's, and of at least {SMALLEST:.1%} of the image. Class and place are drawn at random, at most one error per
  image, and the label becomes any other class of the data set, each as likely.
- The monitor was fitted on the labels without the planted errors: M has seen these images with their right labels, and
  has memorised no planted error. That is easier than an audit of the labels that M was trained on.
- All methods score the same regions (where M says another class than the label, opened by 3 x 3 pixels) by the same
  rule (mean log-odds times the radius of the largest disc inside). The evidence of each is turned into log-odds by the
  same logistic regression, learnt from mistakes that another routine draws into copies of some label maps; it sees no
  planted error as such. The rivals profit from both.
- A suspect is a hit when at least {OVERLAP:.0%} of its pixels are planted. An error counts once, for the first suspect
  that hits it; further suspects on it are false alarms. So are real label errors of the data set.
- Method and rule were chosen on other planted errors, of seeds from 100 on. Mean and standard deviation over the
  seeds."""


@dataclass(frozen=True)
class Planted:
    """A label error: the pixels (H, W) of one sample whose class was swapped, and the class before and after."""

    id: str
    mask: NDArray[np.bool_]
    true: int
    given: int


@dataclass(frozen=True)
class Found:
    """What one method found on one seed: at each rank, whether the suspect hit an error that no earlier one hit."""

    hits: tuple[bool, ...]

    def precision(self, count: int) -> float:
        """Share of the first suspects that hit."""
        return sum(self.hits[:count]) / count

    def recall(self, count: int, errors: int) -> float:
        """Share of the errors that the first suspects hit."""
        return sum(self.hits[:count]) / errors


class WithErrors(Derived):
    """A data set with planted label errors."""

    def __init__(self, dataset: Dataset, planted: Sequence[Planted]) -> None:
        super().__init__(dataset)
        self._planted = {error.id: error for error in planted}

    def __getitem__(self, index: int) -> Sample:
        """Return one sample, with its error if it has one."""
        sample = super().__getitem__(index)
        error = self._planted.get(sample.id)
        if error is None or sample.label_map is None:
            return sample
        return replace(sample, label_map=sample.label_map.masked_fill(torch.from_numpy(error.mask), error.given))

    def label_map(self, index: int) -> Tensor | None:
        """Return the label map of one sample, with its error if it has one."""
        return self[index].label_map


def main() -> None:
    """Plant, audit and count, seed by seed; print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--monitor", type=Path, help="folder of a fitted monitor")
    parser.add_argument("--data", default=DRAWN, help="SPEC of labelled images")
    parser.add_argument("--errors", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--markdown", type=Path, help="file for the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dataset = open_dataset(arguments.data)
    if arguments.monitor is None:
        arguments.errors, arguments.seeds = min(arguments.errors, len(dataset) // 2), 1
    monitors = opened(arguments.monitor, dataset)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    told = facts(arguments, monitors[SHIPPED], dataset, seeds)
    planted = {seed: plant(dataset, arguments.errors, seed) for seed in seeds}
    by_seed = [measure(monitors, dataset, planted[seed], seed) for seed in seeds]
    text = page({name: [found[name] for found in by_seed] for name in monitors}, planted, told)
    print(text)
    if arguments.markdown is not None:
        save_text(arguments.markdown, text)


def opened(folder: Path | None, dataset: Dataset) -> dict[str, Monitor]:
    """The monitor of each method, from a folder; without one, from a tiny fit. The control needs its controls."""
    if folder is None:
        with tempfile.TemporaryDirectory() as run:
            fit(dataset, Path(run), FitConfig(scale=SCALES["tiny"], device="cpu", precision="fp32"))
            return opened(Path(run), dataset)
    monitor = Monitor.load(folder, "cpu")
    monitors = dict.fromkeys(METHODS, monitor)
    if control_path(folder, UNTRAINED).exists():
        generator = fit_data_of(folder, monitor).generators[UNTRAINED]
        monitors[CONTROL] = Monitor(monitor.settings, monitor.predictor, generator, monitor.network, monitor.runtime)
    else:
        del monitors[CONTROL]
    return monitors


def plant(dataset: Dataset, errors: int, seed: int) -> list[Planted]:
    """Choose images at random, and swap the class of one region in each."""
    chance = np.random.default_rng(seed)
    present = present_classes(dataset)
    planted: list[Planted] = []
    for index in chance.permutation(len(dataset)).tolist():
        sample = dataset[index]
        assert sample.label_map is not None
        region = draw_region(sample.label_map.numpy(), len(dataset.classes), chance)
        if region is not None and len(planted) < errors:
            true, mask = region
            given = int(chance.choice([label for label in present if label != true]))
            planted.append(Planted(sample.id, mask, true, given))
    return planted


def present_classes(dataset: Dataset) -> list[int]:
    """The classes that occur anywhere."""
    labels = {
        label for sample in dataset if sample.label_map is not None for label in sample.label_map.unique().tolist()
    }
    return sorted(labels - {dataset.classes.ignore_index})


def draw_region(
    label_map: NDArray[np.int64], classes: int, chance: np.random.Generator, tries: int = 20
) -> tuple[int, NDArray[np.bool_]] | None:
    """A class that is large enough, and a piece of it around one of its pixels; None when every try is too small."""
    smallest = SMALLEST * label_map.size
    large = [label for label in range(classes) if (label_map == label).sum() >= smallest]
    for _ in range(tries if large else 0):
        true = int(chance.choice(large))
        row, column = chance.choice(np.argwhere(label_map == true))
        height, width = (max(1, round(side * chance.uniform(*SIDES))) for side in label_map.shape)
        top, left = max(0, row - height // 2), max(0, column - width // 2)
        inside = np.zeros(label_map.shape, bool)
        inside[top : top + height, left : left + width] = True
        pieces, _ = ndimage.label(inside & (label_map == true))
        mask = pieces == pieces[row, column]
        if mask.sum() >= smallest:
            return true, mask
    return None


def measure(
    monitors: Mapping[str, Monitor], dataset: Dataset, planted: Sequence[Planted], seed: int
) -> dict[str, Found]:
    """Audit the data with the planted errors by every method; what M says of an image is asked once for all."""
    wrong = WithErrors(dataset, planted)
    weighed = {name: fit_suspicion(monitor, wrong, METHODS[name], seed) for name, monitor in monitors.items()}
    suspects: dict[str, list[Suspect]] = {name: [] for name in monitors}
    for sample in wrong:
        case = case_of(monitors[SHIPPED], sample)
        for name, suspicion in weighed.items():
            seen = case if monitors[name] is case.monitor else replace(case, monitor=monitors[name])
            suspects[name] += suspects_of(sample.id, seen, suspicion, tuple(sample.image.shape[1:]))
    found = {
        name: Found(tuple(hits_of(worst_first(parts)[: max(COUNTS)], planted))) for name, parts in suspects.items()
    }
    for name, suspicion in weighed.items():
        weights = ", ".join(f"{weight:.2f}" for weight in suspicion.weights)
        print(f"seed {seed}, {name}: {found[name].precision(30):.0%} at 30, weights {weights}", flush=True)
    return found


def hits_of(suspects: Sequence[Suspect], planted: Sequence[Planted]) -> Iterator[bool]:
    """For each suspect, whether it is the first on a planted error."""
    left = {error.id: error.mask for error in planted}
    for suspect in suspects:
        x0, y0, x1, y1 = suspect.box
        mask = left.get(suspect.id)
        hit = mask is not None and bool(mask[y0:y1, x0:x1][suspect.mask].mean() >= OVERLAP)
        if hit:
            del left[suspect.id]
        yield hit


def page(
    found: Mapping[str, Sequence[Found]], planted: Mapping[int, Sequence[Planted]], told: Mapping[str, str]
) -> str:
    """The tables as Markdown."""
    errors = max(len(errors) for errors in planted.values())
    head = [*(f"precision at {count}" for count in COUNTS), "recall at 30", "recall at 100"]
    rows = [[name, *scores(runs, errors)] for name, runs in found.items()]
    by_seed = [[name, *(f"{100 * run.precision(30):.0f}" for run in runs)] for name, runs in found.items()]
    sections = [
        "# Planted label errors",
        "Which suspects of `synthcp audit` are label errors that were planted, in percent:",
        table(["method", *head], rows),
        PROTOCOL,
        "Precision at 30, seed by seed:",
        table(["method", *(f"seed {seed}" for seed in planted)], by_seed),
        table(["setting", "value"], [[name, value] for name, value in (told | areas(planted)).items()]),
    ]
    return "\n\n".join(sections) + "\n"


def scores(runs: Sequence[Found], errors: int) -> list[str]:
    """Mean and deviation of each column."""
    columns = [[run.precision(count) for run in runs] for count in COUNTS]
    columns += [[run.recall(count, errors) for run in runs] for count in (30, 100)]
    return [f"{100 * statistics.mean(column):.1f} ± {100 * deviation(column):.1f}" for column in columns]


def deviation(values: Sequence[float]) -> float:
    """Standard deviation; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def areas(planted: Mapping[int, Sequence[Planted]]) -> dict[str, str]:
    """How large the planted errors are."""
    shares = [error.mask.mean() for errors in planted.values() for error in errors]
    smallest, median, largest = (100 * float(value) for value in np.quantile(shares, [0, 0.5, 1]))
    return {"area of an error": f"{smallest:.2g} % to {largest:.2g} % of the image, median {median:.2g} %"}


def facts(arguments: argparse.Namespace, monitor: Monitor, dataset: Dataset, seeds: Sequence[int]) -> dict[str, str]:
    """Where the numbers come from."""
    fitted = monitor.settings.facts
    return {
        "data": f"{arguments.data}, {len(dataset)} images, working size {monitor.settings.scale.side} (shorter side)",
        "monitor": ", ".join(
            f"{name} {fitted[name]}" for name in ("variant", "scale", "seed", "commit") if name in fitted
        ),
        "errors": f"{arguments.errors} for each seed",
        "seeds": ", ".join(map(str, seeds)),
        "commit": commit(),
        "hardware": hardware(monitor.runtime.device),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "command": f"`python benchmarks/{command_line()}`",
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
