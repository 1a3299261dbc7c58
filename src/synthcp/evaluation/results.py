"""The scores of one evaluation, row by row."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from synthcp.metrics.protocols import AnomalyScores
from synthcp.metrics.ranking import RankingScores
from synthcp.metrics.regression import RegressionScores
from synthcp.records import Measure

DEFAULT_PROTOCOLS = ("pooled", "caos")
"""Of anomaly segmentation: all pixels together, and the mean over images as the anomaly benchmark has it."""

RAW, AGAIN = "-raw", ", head "
"""How a raw error map and a detector that was fitted again are shown in the name of a row."""


@dataclass(frozen=True)
class Row:
    """A row of a table; its text is the name that is shown.

    Attributes:
        detector: Name of the detector.
        raw: Whether it is a learned detector's raw error map by itself, without M's logits blended in.
        seed: Which fit of the detector this is, if it was fitted again with the same M and G; 0 is the first.
    """

    detector: str
    raw: bool = False
    seed: int = 0

    def __str__(self) -> str:
        again = f"{AGAIN}{self.seed}" if self.seed else ""
        return self.detector + again + RAW * self.raw


@dataclass(frozen=True)
class DetectorResult:
    """Scores of one row on one data set; a part that does not apply is None.

    Attributes:
        row: Whose scores these are.
        error_pooled: Error detection over all pixels of all images together (protocol "pooled").
        error_per_image: The mean over images of the score of each image (protocol "per image").
        quality: Predicted against true quality per class, averaged over the classes.
        anomaly: Anomaly segmentation by protocol (metrics.protocols), without those that are undefined on the data;
            empty where no pixel is anomalous.
    """

    row: Row
    error_pooled: RankingScores | None = None
    error_per_image: RankingScores | None = None
    quality: RegressionScores | None = None
    anomaly: dict[str, AnomalyScores] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the row, as it is shown."""
        return str(self.row)


@dataclass(frozen=True)
class Results:
    """Everything a table, a figure or a report needs to know about one evaluation.

    Attributes:
        detectors: In the order given; a learned detector has a row for its raw error map, then its own.
        mean_quality: Of the segmenter: the mean over the classes that occur, without the background, in [0, 1]; NaN
            without label maps.
        segmenter_quality: Of the segmenter per class name: its IoU over the pixels of all images, or the mean of its
            Dice over the volumes; NaN for a class that does not occur.
        images: Number of images.
        class_quality: For scatter plots, per class name (without the background) the (true, predicted) quality of every
            image where it is defined, as judged by the last detector that predicts quality.
        settings: Data, split, seed, commit, hardware, variant, scale and other facts, for printing.
        measure: Of every quality here.
    """

    detectors: tuple[DetectorResult, ...]
    mean_quality: float
    segmenter_quality: dict[str, float]
    images: int
    class_quality: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    measure: Measure = "IoU"

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the classes without a pixel, true or predicted, over which no mean is taken."""
        return tuple(name for name, quality in self.segmenter_quality.items() if math.isnan(quality))
