"""What a table is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from synthcp.config.values import choose
from synthcp.data.base import Dataset
from synthcp.data.check import check_labels
from synthcp.data.specs import open_dataset
from synthcp.errors import DataError, InputError
from synthcp.evaluation.judgement import region_of_interest
from synthcp.experiments.table import Table
from synthcp.fitting.config import FitConfig, Weights
from synthcp.fitting.run import begin
from synthcp.fitting.stages import Stages
from synthcp.records import Sample
from synthcp.segmentation.catalogue import SEGMENTERS
from synthcp.system.files import save_text
from synthcp.system.progress import Progress
from synthcp.system.provenance import command_line, commit

BROUGHT = "brought"
"""In the place of its name: the M that somebody brought."""


@dataclass(frozen=True)
class TableRequest:
    """A table on some data.

    Attributes:
        data: SPEC of the training images.
        tests: SPECs of the images to be judged on; none takes the test split of the data.
        out: Folder of the runs, one for each seed, and of the table.
        fit: What is asked of every fit. A model that is not named is the table's own: both of Table 1, a U-Net for
            volumes, else PSPNet; the seed is that of the run, and a fit that was broken off goes on.
        seeds: How many; they are 0, 1, ...
        only: The one seed to fit and judge now; the others are left to other machines or to later. None takes all.
        weights: Published weights from which an M of the table starts, by its name.

    Raises:
        InputError: There is no seed, or the one is not among them, or weights are for no M that is fitted here.
    """

    data: str
    out: Path
    tests: tuple[str, ...] = ()
    fit: FitConfig = field(default_factory=FitConfig)
    seeds: int = 3
    only: int | None = None
    weights: Mapping[str, Weights] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds make no table; take 1 or more")
        if self.only is not None and not 0 <= self.only < self.seeds:
            raise InputError(f"seed {self.only} is none of the {self.seeds}, which are 0 to {self.seeds - 1}; name one")
        for model in self.weights:
            choose(SEGMENTERS, model, "model")

    @property
    def numbers(self) -> list[int]:
        """The seeds to be run now."""
        return list(range(self.seeds)) if self.only is None else [self.only]

    @property
    def folders(self) -> list[Path]:
        """What this run writes to: the folder of every seed, and of the page if it writes one."""
        seeds = [self.out / f"seed{seed}" for seed in self.numbers]
        return seeds if self.only is not None else [self.out, *seeds]

    def models(self, table: Table) -> tuple[str, ...]:
        """Return the names of the M whose predictions are judged."""
        if not self.fit.fits_model:
            return (BROUGHT,)
        return (str(self.fit.model),) if self.fit.model else table.models

    def write(self, name: str, page: str) -> None:
        """Write out/NAME.md, if the page is about all seeds."""
        if self.only is None:
            save_text(self.out / f"{name}.md", page)

    def begin(self, dataset: Dataset, folder: Path, model: str, seed: int, progress: Progress) -> Stages:
        """Begin the fit of one M and seed in a folder, or take it up where it was broken off.

        Raises:
            InputError: The folder holds a run on other data or with other options.
        """
        options = replace(self.fit, seed=seed, resume=True)
        if model != BROUGHT:
            options = replace(options, model=model, weights=self.weights.get(model, self.fit.weights))
        facts = {"data": self.data, "command": command_line(), "commit": commit()}
        return begin(dataset, folder, options, progress=progress, facts=facts)


def open_tests(request: TableRequest, table: Table, train: Dataset) -> dict[str, Dataset]:
    """Open the images to be judged on, by SPEC.

    Raises:
        InputError: A SPEC cannot be opened, or its classes are not those of the training data.
        DataError: Volumes where images are wanted, or the other way round, there are no labels, or no image shows an
            anomaly and something known where the table is about them.
    """
    tests = {spec: open_dataset(spec, "test") for spec in request.tests or table.usual_tests(request.data)}
    for spec, dataset in tests.items():
        if table.anomalies and not any(_rankable(sample, dataset.classes.ignore_index) for sample in dataset):
            none = f"{spec}: no image shows an anomaly among known pixels; no detector can be judged by them"
            raise DataError(f"{none}; try heldout:")
        if not table.anomalies or dataset[0].label_map is not None:  # where there is none, the mask is enough
            check_test(spec, dataset, train, table.kind)
    return tests


def check_test(spec: str, dataset: Dataset, train: Dataset, kind: Literal["images", "volumes"]) -> None:
    """Refuse test images by which nothing can be judged now, not after the nets were trained.

    Raises:
        InputError: The classes are not those of the training data.
        DataError: Volumes where images are wanted, or the other way round, or the labels are unusable.
    """
    found = "volumes" if dataset[0].image.ndim == 4 else "images"
    if found != kind:
        raise DataError(
            f"{spec} holds {found}, but the table is about {kind}; table2 is for volumes, others for images"
        )
    if dataset.classes.names != train.classes.names:
        ours, theirs = (", ".join(data.classes.names) for data in (train, dataset))
        raise InputError(f"{spec} has the classes {theirs}; the training data have {ours}; both must be the same")
    check_labels(dataset)


def _rankable(sample: Sample, ignore_index: int) -> bool:
    """Whether some judged pixels are anomalous and others are not."""
    if sample.anomaly_mask is None:
        return False
    anomalous = sample.anomaly_mask[region_of_interest(sample, ignore_index)]
    return bool(anomalous.any() and not anomalous.all())
