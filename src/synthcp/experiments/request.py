"""What a table is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from synthcp.config import choose
from synthcp.data.base import Dataset
from synthcp.data.specs import open_dataset, with_split
from synthcp.errors import DataError, InputError
from synthcp.evaluation import region_of_interest
from synthcp.records import Sample
from synthcp.report.outputs import write_text
from synthcp.segmentation.settings import BUILT_INS


@dataclass(frozen=True)
class Request:
    """A table on some data.

    Attributes:
        data: SPEC of the training images.
        tests: SPECs of the images to be judged on; none takes the test split of the data.
        out: Folder of the runs, one for each seed, and of the table.
        model: The built-in M; empty takes the table's own: both of Table 1, a U-Net for volumes, else PSPNet.
        scale: How big it is.
        seeds: How many; they are 0, 1, ...
        device: "auto", "cpu", "cuda", ...
        precision: "auto", "fp32" or "bf16".
        only: The one seed to fit and judge now; the others are left to other machines or to later. None takes all.

        weights: Files of public weights from which an M starts, by its name.

    Raises:
        InputError: There is no seed, or the one is not among them, or weights are for no M that is fitted here.
    """

    data: str
    out: Path
    tests: tuple[str, ...] = ()
    model: str = ""
    scale: str = "small"
    seeds: int = 3
    device: str = "auto"
    precision: str = "auto"
    only: int | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds make no table; take 1 or more")
        if self.only is not None and not 0 <= self.only < self.seeds:
            raise InputError(f"seed {self.only} is none of the {self.seeds}, which are 0 to {self.seeds - 1}; name one")

        for model in self.weights:
            choose(BUILT_INS, model, "model")

    @property
    def numbers(self) -> list[int]:
        """The seeds to be run now."""
        return list(range(self.seeds)) if self.only is None else [self.only]

    def write(self, name: str, page: str) -> None:
        """Write out/NAME.md, if the page is about all seeds."""
        if self.only is None:
            write_text(self.out / f"{name}.md", page)

    def open_tests(self) -> dict[str, Dataset]:
        """Open the images to be judged on, by SPEC.

        Raises:
            InputError: A SPEC cannot be opened.
            DataError: None of its images shows an anomaly and something known, as the mean over images needs it.
        """
        specs = self.tests or (with_split(self.data, "test"),)
        tests = {spec: open_dataset(spec, "test") for spec in specs}
        for spec, dataset in tests.items():
            if not any(_rankable(sample, dataset.classes.ignore_index) for sample in dataset):
                raise DataError(
                    f"{spec}: no image shows an anomaly among known pixels; no detector can be judged by them; try "
                    "heldout:"
                )
        return tests


def _rankable(sample: Sample, ignore_index: int) -> bool:
    """Whether some judged pixels are anomalous and others are not."""
    if sample.anomaly_mask is None:
        return False
    anomalous = sample.anomaly_mask[region_of_interest(sample, ignore_index)]
    return bool(anomalous.any() and not anomalous.all())
