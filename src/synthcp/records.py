"""The records that pass between the parts: shapes, ranges and the direction of every score, said once.

Axes: B batch, C image channels, L classes, K feature channels, *S the spatial axes (H, W) or (D, H, W).
Images are float32 in [0, 1]. Label maps are int64 class indices; pixels without a class carry the ignore index.

Score direction: every score is a real number of any range, and LARGER means MORE LIKELY WRONG (error map) or
MORE LIKELY UNKNOWN (anomaly map). Class quality is the one exception by name: it is a predicted IoU (or Dice)
in [0, 1], larger is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Literal

from torch import Tensor

from synthcp.errors import InputError
from synthcp.ranges import check_ranges

Measure = Literal["IoU", "Dice"]
"""How the quality of a class is measured: by IoU (eq. 6) in images, by Dice in volumes (section 4.1 of the paper)."""

Decision = Literal["", "accept", "review"]
"""What to do with a prediction; nothing is said without a calibration."""


def measure_of(spatial_dims: int) -> Measure:
    """Return the measure of images (2 spatial axes) or of volumes (3)."""
    return "Dice" if spatial_dims == 3 else "IoU"


@dataclass(frozen=True)
class Classes:
    """The semantic label set L of a data set.

    Attributes:
        names: By index.
        colors: For display, (R, G, B) in 0-255, by index.
        ignore_index: Label of the pixels without a class.
        background: Index of the class that is no structure, which fills a volume and hides what is wrong with the
            others: it counts as a class everywhere but in the quality of an image. None where every class counts.

    Raises:
        InputError: Names are not distinct, colours are missing or none, or an index is outside its range.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    ignore_index: int = 255
    background: int | None = None

    def __post_init__(self) -> None:
        count = len(self.names)
        check_ranges(self, ignore_index=(-(2**31), 2**31), background=(0, count - 1))
        if len(set(self.names)) < count or "" in self.names:
            raise InputError(f"the names of the {count} classes must differ, and none may be empty; rename one")
        if len(self.colors) < count or not all(0 <= part <= 255 for color in self.colors for part in color):
            raise InputError(f"{len(self.colors)} colours; each of the {count} classes has one, three numbers of 0-255")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of all classes but the background: those by whose quality an image is judged."""
        return tuple(name for index, name in enumerate(self.names) if index != self.background)


@dataclass(frozen=True)
class Sample:
    """One image of a data set, with whatever is known about it.

    Attributes:
        id: Unique within the data set; images, labels and predictions are paired by it, never by position.
        image: x, shape (C, *S), float32 in [0, 1].
        label_map: y, shape (*S), int64, or None when unlabelled.
        anomaly_mask: shape (*S), bool, True on objects of no known class; None when the data set has no such mask.
        group: The sequence, city or patient the image belongs to; images of one group are never split over folds.
        roi: region of interest, shape (*S), bool, True where anomaly scores are judged; None when it is all pixels with
            a class or an anomaly.
    """

    id: str
    image: Tensor
    label_map: Tensor | None = None
    anomaly_mask: Tensor | None = None
    group: str = ""
    roi: Tensor | None = None


@dataclass(frozen=True)
class Prediction:
    """What a segmenter M says of a batch of images.

    Attributes:
        logits: shape (B, L, *S).
        layers: M's feature maps, shallow to deep, each of shape (B, K, *s) with *s possibly smaller than *S; empty when
            the model gives none (predictions read from disk).
        seen: The size at which M saw the images, when the logits were resized since; a synthesis is shown to M at this
            size too.
    """

    logits: Tensor
    layers: tuple[Tensor, ...] = ()
    seen: tuple[int, ...] | None = None

    @property
    def features(self) -> Tensor | None:
        """f_M, the input of M's last layer, shape (B, K, *s); None without layers."""
        return self.layers[-1] if self.layers else None

    @property
    def seen_size(self) -> tuple[int, ...]:
        """The size at which M saw the images."""
        return self.seen or tuple(self.logits.shape[2:])

    def parts(self) -> list[Prediction]:
        """Return the prediction of each image by itself, as a batch of one."""
        if len(self.logits) == 1:
            return [self]
        each = [slice(index, index + 1) for index in range(len(self.logits))]
        return [replace(self, logits=self.logits[i], layers=tuple(layer[i] for layer in self.layers)) for i in each]

    @cached_property
    def probabilities(self) -> Tensor:
        """Softmax of the logits, shape (B, L, *S)."""
        return self.logits.float().softmax(dim=1)

    @cached_property
    def label_map(self) -> Tensor:
        """y_hat, shape (B, *S), int64."""
        return self.logits.argmax(dim=1)

    @cached_property
    def confidence(self) -> Tensor:
        """p, the maximum softmax probability (MSP), shape (B, *S), in [1 / L, 1]."""
        return self.probabilities.amax(dim=1)


@dataclass(frozen=True)
class Detection:
    """What a detector says of a batch of predictions; a part it does not judge is None.

    Attributes:
        error_map: c_m of eq. 5, shape (B, *S); larger = more likely wrong.
        raw_error_map: A learned detector's error map before M's own logits were blended into it, shape (B, *S).
        anomaly_map: c_n of eq. 9 or another score, shape (B, *S), of any range; larger = more likely unknown.
        class_quality: c_iu of eq. 5, predicted IoU (or Dice) per class, shape (B, L), in [0, 1].
        synthesis: x_hat = G(y_hat), shape (B, C, *S), in [0, 1].
    """

    error_map: Tensor | None = None
    raw_error_map: Tensor | None = None
    anomaly_map: Tensor | None = None
    class_quality: Tensor | None = None
    synthesis: Tensor | None = None

    def parts(self, count: int) -> list[Detection]:
        """Return what is said of each of so many predictions by itself, as a batch of one."""
        known = {part.name: value for part in fields(self) if (value := getattr(self, part.name)) is not None}
        return [Detection(**{name: value[i : i + 1] for name, value in known.items()}) for i in range(count)]


@dataclass(frozen=True)
class AnomalousRegion:
    """Connected pixels that look unknown: an object that M was never taught, or part of one.

    Attributes:
        area: Number of its pixels.
        share: Of the image that it covers, in (0, 1].
        mean_score: Mean anomaly score of its pixels, above the threshold that they passed.
        peak_score: Highest anomaly score.
        box: Where it begins, and just behind where it ends, in pixels of the map along each of the spatial axes.
        predicted: Name of the class that M predicted there most often: what it took the object for.
    """

    area: int
    share: float
    mean_score: float
    peak_score: float
    box: tuple[tuple[int, int], ...]
    predicted: str


@dataclass(frozen=True)
class Assessment:
    """What a monitor says of one image: the answer a user acts on. Maps have the size of the image that came in.

    Attributes:
        label_map: y_hat, shape (*S), int64.
        error_map: probability that each pixel of the prediction is wrong, shape (*S), in [0, 1].
        anomaly_map: how unknown each pixel looks, shape (*S); larger = more likely unknown. In (0, 1) from the fused
            score of the variant "ours", where 0.5 is usual; in [0, 2] from eq. 9 refined by MSP. None when M is no live
            model, which alone can look at the synthesis.
        synthesis: x_hat, shape (C, *S), in [0, 1]; None of a monitor that draws nothing.
        class_quality: predicted IoU (or Dice) of every class, by name, in [0, 1].
        judged: names of the classes that count for the quality of the whole: in an image those that the prediction
            holds, in a volume all, for a structure that is missing may be the error; never the background.
        alarms: one sentence for each reason to look at the image; empty when there is none.
        intervals: lowest and highest true quality of every class, by name, as promised; empty without a calibration.
        decision: what the calibrated rule says of the image; it alone decides, alarms do not.
        reasons: one sentence for each reason of the decision.
        regions: of connected pixels that look unknown, those that stand out most first.
    """

    label_map: Tensor
    error_map: Tensor
    anomaly_map: Tensor | None
    synthesis: Tensor | None
    class_quality: dict[str, float]
    judged: tuple[str, ...]
    alarms: tuple[str, ...]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    decision: Decision = ""
    reasons: tuple[str, ...] = ()
    regions: tuple[AnomalousRegion, ...] = ()

    @property
    def error_share(self) -> float:
        """Expected share of wrong pixels, the mean of the error map, in [0, 1]; images are ranked by it."""
        return float(self.error_map.mean())

    @property
    def mean_quality(self) -> float:
        """Predicted quality of the image: the mean over the classes that count, in [0, 1]; NaN when there is none."""
        predicted = [self.class_quality[name] for name in self.judged]
        return math.fsum(predicted) / len(predicted) if predicted else math.nan

    @property
    def measure(self) -> Measure:
        """How the quality of a class is measured."""
        return measure_of(self.label_map.dim())

    def anomaly_share(self, threshold: float) -> float:
        """Share of the pixels whose anomaly score is above a threshold, in [0, 1]; NaN without an anomaly map."""
        return math.nan if self.anomaly_map is None else float((self.anomaly_map > threshold).float().mean())
