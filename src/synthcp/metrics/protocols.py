"""Protocols of anomaly segmentation: what published numbers mean by AUROC, AUPR and FPR95.

A protocol says which pixels are ranked together, which images are left out and how FPR95 is read. The same scores give
different numbers under each, so a number is worth nothing without its protocol. AUPR is the average precision in step
form under all of them. Every protocol judges the pixels of a region of interest alone; the others are void.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from synthcp.errors import InputError, ShapeError
from synthcp.metrics.components import ANOMALY_TRACK, OBSTACLE_TRACK, ComponentScores, StreamingComponents, Track
from synthcp.metrics.ranking import PerImageRanking, RankingScores, StreamingRanking, as_array
from synthcp.metrics.spool import MapSpool

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class AnomalyScores:
    """How well anomaly scores find the anomalies of a data set; shares and scores are in [0, 1].

    Attributes:
        auroc: Area under the ROC curve.
        aupr: Area under the precision-recall curve: average precision in step form, anomalies positive.
        fpr95: False positive rate at a recall of 0.95, read as the protocol says.
        prevalence: Share of anomalous pixels, the AUPR of chance; per image, the mean over the images that count.
        void_share: Share of the pixels that were not judged.
        pixels: Number of pixels ranked.
        images: Number of images that count.
        skipped: Number of images that do not, for having no anomalous or no other judged pixel.
        components: Scores of whole objects; None where the protocol has none.
    """

    auroc: float
    aupr: float
    fpr95: float
    prevalence: float
    void_share: float
    pixels: int
    images: int
    skipped: int
    components: ComponentScores | None = None


@dataclass(frozen=True)
class JudgedImage:
    """Checked maps of one image, shape (*S) each; no score of a judged pixel is NaN."""

    scores: Floats
    anomaly: Mask
    judged: Mask

    def pixels(self) -> tuple[Floats, Mask]:
        """Scores and anomalies of the judged pixels, shape (N,) each."""
        return self.scores[self.judged], self.anomaly[self.judged]


class AnomalyProtocol(ABC):
    """Scores of a data set, gathered image by image.

    Attributes:
        convention: What the protocol does, in words.
    """

    convention: ClassVar[str]

    def __init__(self) -> None:
        self._images = self._void = self._judged = self._anomalous = 0

    def update(self, scores: Tensor | Floats, anomaly: Tensor | Mask, judged: Tensor | Mask) -> None:
        """Judge one more image.

        Args:
            scores: shape (*S), floats, larger = more likely unknown; not looked at where nothing is judged.
            anomaly: shape (*S), bool, True on objects of no known class.
            judged: shape (*S), bool, the region of interest.

        Raises:
            InputError: The scores are not floats, a mask is not bool, or the score of a judged pixel is NaN.
            ShapeError: The shapes differ.
        """
        image = judged_image(scores, anomaly, judged)
        self._add(image)
        judged_pixels = int(image.judged.sum())
        self._images += 1
        self._judged += judged_pixels
        self._void += image.judged.size - judged_pixels
        self._anomalous += int((image.anomaly & image.judged).sum())

    def merge(self, other: Self) -> None:
        """Take in all the images that another accumulator of this protocol has judged."""
        self._images += other._images
        self._void += other._void
        self._judged += other._judged
        self._anomalous += other._anomalous

    @abstractmethod
    def compute(self) -> AnomalyScores:
        """Scores of all images so far.

        Raises:
            InputError: No judged pixel is anomalous, or all are, or no image is left to average over.
        """

    @abstractmethod
    def _add(self, image: JudgedImage) -> None: ...

    def _scores(self, ranking: RankingScores, fpr95: float, components: ComponentScores | None = None) -> AnomalyScores:
        return AnomalyScores(
            auroc=ranking.auroc,
            aupr=ranking.ap_error,
            fpr95=fpr95,
            prevalence=ranking.prevalence,
            void_share=self._void / (self._void + self._judged),
            pixels=ranking.pixels,
            images=ranking.images,
            skipped=ranking.skipped,
            components=components,
        )

    def _require(self, ranking: RankingScores) -> None:
        """Refuse to score what has no score."""
        if not math.isnan(ranking.auroc):
            return
        images, remedy = f"images: {self._images}", "give images with anomalies and their surroundings judged"
        if not self._anomalous:
            raise InputError(f"no judged pixel is anomalous ({images}), so AUPR is undefined; {remedy}")
        if self._anomalous == self._judged:
            raise InputError(f"every judged pixel is anomalous ({images}), so FPR95 is undefined; {remedy}")
        raise InputError(f"no image has both anomalous and other judged pixels ({images}); use the protocol 'pooled'")


class PerImageProtocol(AnomalyProtocol):
    """Mean over images, as StreetHazards is scored by CAOS and by SynthCP.

    Source: Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022, and its public
    evaluation. There, unlabelled pixels count as known; to follow it to the letter, judge all pixels.
    """

    convention = (
        "mean over images, those without anomalous or without other pixels skipped; FPR95 at the recall nearest to 0.95"
    )

    def __init__(self) -> None:
        super().__init__()
        self._ranking = PerImageRanking()

    def merge(self, other: Self) -> None:
        """Take in all the images that another accumulator of this protocol has judged."""
        super().merge(other)
        self._ranking.merge(other._ranking)

    def compute(self) -> AnomalyScores:
        """Means over the images that count; errors as in AnomalyProtocol."""
        ranking = self._ranking.compute()
        self._require(ranking)
        return self._scores(ranking, ranking.fpr95_nearest)

    def _add(self, image: JudgedImage) -> None:
        self._ranking.update(*image.pixels())


class PooledProtocol(AnomalyProtocol):
    """All judged pixels of all images ranked together, in bounded memory (`StreamingRanking`).

    This is also how Fishyscapes scores (Blum et al., "The Fishyscapes Benchmark", IJCV 2021): its void pixels are those
    not judged, its average precision is the step form over distinct scores, its FPR95 the first recall that suffices.
    """

    convention = "all judged pixels of all images together; FPR95 at the first recall of at least 0.95"

    def __init__(self) -> None:
        super().__init__()
        self._ranking = StreamingRanking()

    def merge(self, other: Self) -> None:
        """Take in all the images that another accumulator of this protocol has judged."""
        super().merge(other)
        self._ranking.merge(other._ranking)

    def compute(self) -> AnomalyScores:
        """Scores of the pooled pixels; errors as in AnomalyProtocol."""
        ranking = self._ranking.compute()
        self._require(ranking)
        return self._scores(ranking, ranking.fpr95, self._components())

    def _add(self, image: JudgedImage) -> None:
        self._ranking.update(*image.pixels())

    def _components(self) -> ComponentScores | None:
        return None


class ComponentProtocol(PooledProtocol):
    """Pooled pixels and whole components, as SegmentMeIfYouCan scores (source: see `synthcp.metrics.components`).

    The components are cut at the threshold with the best pooled F1, known only after the last image: until then the
    maps wait on disk (`MapSpool`, 5 bytes a pixel). The public toolkit differs in three points. It stores scores as
    float16; it files the pixels of an image in 768 quantile bins, an approximation, where this ranking is exact (as
    `StreamingRanking` says); and it cuts above its threshold, where pixels of that very score belong here.
    """

    convention = (
        "all judged pixels of all images together; FPR95 at the first recall of at least 0.95; "
        "components cut at the threshold of the best pooled F1"
    )

    def __init__(self, track: Track = ANOMALY_TRACK) -> None:
        super().__init__()
        self.track = track
        self._spool = MapSpool()

    def merge(self, other: Self) -> None:
        """Take in all the images that another accumulator of this protocol has judged."""
        super().merge(other)
        self._spool.merge(other._spool)

    def _add(self, image: JudgedImage) -> None:
        self._spool.add(image.scores, image.anomaly, image.judged)
        super()._add(image)

    def _components(self) -> ComponentScores:
        components = StreamingComponents(self._ranking.best_f1_threshold(), self.track)
        for maps in self._spool:
            components.update(*maps)
        return components.compute()


PROTOCOLS: dict[str, Callable[[], AnomalyProtocol]] = {
    "caos": PerImageProtocol,
    "pooled": PooledProtocol,
    "fishyscapes": PooledProtocol,
    "smiyc": ComponentProtocol,
    "smiyc-obstacle": partial(ComponentProtocol, OBSTACLE_TRACK),
}
"""Protocols by name; of SegmentMeIfYouCan, "smiyc" has the component sizes of its anomaly track."""


def judged_image(scores: Tensor | Floats, anomaly: Tensor | Mask, judged: Tensor | Mask) -> JudgedImage:
    """Check the maps of one image; arguments and errors as in `AnomalyProtocol.update`."""
    image = JudgedImage(as_array(scores), as_array(anomaly), as_array(judged))
    if not image.scores.shape == image.anomaly.shape == image.judged.shape:
        shapes = f"scores {image.scores.shape}, anomaly {image.anomaly.shape} and judged {image.judged.shape}"
        raise ShapeError(f"{shapes} differ in shape; give one value of each per pixel")
    _require_kind(image.scores, np.floating, "scores are {}, not floats; convert them first")
    _require_kind(image.anomaly, np.bool_, "anomaly is {}, not bool; compare it first, as in anomaly > 0")
    _require_kind(image.judged, np.bool_, "judged is {}, not bool; compare it first, as in label_map != 255")
    if unknown := int(np.isnan(image.scores[image.judged]).sum()):
        raise InputError(f"{unknown} scores of judged pixels are NaN; judge only pixels that have a score")
    return image


def _require_kind(values: NDArray[Any], kind: type[np.generic], message: str) -> None:
    if not np.issubdtype(values.dtype, kind):
        raise InputError(message.format(values.dtype))
