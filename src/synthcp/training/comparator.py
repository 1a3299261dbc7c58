"""Training F on imperfect predictions (eq. 6-8)."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from synthcp.comparison.blend import Blend, fit_blend
from synthcp.comparison.evidence import Evidence
from synthcp.comparison.failure_loss import FailureLossConfig, failure_loss
from synthcp.comparison.logit_scores import msp_log_odds
from synthcp.comparison.network import ComparisonNetwork
from synthcp.data.base import Dataset
from synthcp.data.transforms import Window, jitter, view
from synthcp.errors import DataError
from synthcp.metrics.overlap import image_quality
from synthcp.nn.padding import at_least
from synthcp.ranges import COUNT, FACTOR, SHARE, WEIGHT, check_ranges
from synthcp.records import Measure
from synthcp.system.runtime import Runtime, generator_of
from synthcp.training.batches import draw_window, teaches, window_size
from synthcp.training.imperfect_predictions import ImperfectPredictions
from synthcp.training.loop import Training, descend, linear_decay, set_learning_rate, update_average

DIRECT = "direct"
"""In the place of a generator's name: the image itself stands in for the synthesis."""


@dataclass(frozen=True)
class ComparatorConfig:
    """How F is trained.

    Attributes:
        steps: Number of batches.
        batch: Images in each.
        learning_rate: Of Adam with betas 0.9, 0.999.
        decay_from: Share of the steps after which the rate falls linearly to 0; 1 keeps it constant.
        average: Decay of the averaged weights, which are the ones kept; 0 keeps the last ones.
        zoom: Range of the random enlargement.
        jitter: Strength of the random change of the image's light and colour.
        loss: Variant of eq. 8.
    """

    steps: int
    batch: int = 8
    learning_rate: float = 1e-3
    decay_from: float = 0.3
    average: float = 0.99
    zoom: tuple[float, float] = (1.0, 1.5)
    jitter: float = 0.15
    loss: FailureLossConfig = field(default_factory=FailureLossConfig)

    def __post_init__(self) -> None:
        check_ranges(self, steps=COUNT, batch=FACTOR, learning_rate=WEIGHT, zoom=FACTOR)
        check_ranges(self, decay_from=SHARE, average=SHARE, jitter=SHARE)


@dataclass(frozen=True)
class ImperfectExamples:
    """The examples of one comparator.

    Attributes:
        dataset: Images and ground truth.
        predictions: Out-of-fold predictions of M and syntheses from them.
        views: Those to learn from.
        indices: The samples to learn from; the others are kept for fitting the blend.
        generator: Name of the generator whose syntheses are shown, or DIRECT.
    """

    dataset: Dataset
    predictions: ImperfectPredictions
    views: Sequence[str]
    indices: Sequence[int]
    generator: str

    def read(self, view_name: str, index: int) -> tuple[Evidence, Tensor]:
        """Return the evidence of one image, unbatched, and its ground truth."""
        sample, kept = self.dataset[index], self.predictions.read(view_name, index)
        assert sample.label_map is not None  # check_labels ran before training
        image = sample.image if kept.image is None else kept.image
        if self.generator == DIRECT:
            drawn = next(iter(kept.feature_distances.values()), image[:0])
            return Evidence(image, None, kept.logits, torch.zeros_like(drawn), kept.objectness), sample.label_map
        synthesis, distance = kept.syntheses[self.generator], kept.feature_distances[self.generator]
        return Evidence(image, synthesis, kept.logits, distance, kept.objectness), sample.label_map

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Return the view and the index of every example."""
        return itertools.product(self.views, self.indices)

    def evidence(self) -> Iterator[Evidence]:
        """Return the evidence of one image after the other, each as a batch of one."""
        for view_name, index in self:
            yield self.read(view_name, index)[0].mapped(lambda part: part[None])


@dataclass(frozen=True)
class Batch:
    """What F learns from in one step.

    Attributes:
        shown: What it is shown: Evidence; or of a feature head what its trunk has seen, shape (B, C, *s), and the
            whitened features, shape (B, K, *s).
        logits: Of M, shape (B, L, *S).
        label_maps: Ground truth, shape (B, *S).
    """

    shown: Evidence | tuple[Tensor, Tensor]
    logits: Tensor
    label_maps: Tensor


class ComparatorTraining(Training):
    """One step = one batch of random windows of random imperfect predictions."""

    average: ComparisonNetwork

    def __init__(
        self,
        network: ComparisonNetwork,
        examples: ImperfectExamples,
        config: ComparatorConfig,
        runtime: Runtime,
        seed: int,
    ) -> None:
        self.network = runtime.place(network)
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.examples = examples
        self.config = config
        self.runtime = runtime
        self.seed = seed
        self.modules = {"network": network, "average": self.average}
        self.optimizers = {"network": torch.optim.Adam(network.parameters(), lr=config.learning_rate)}

    def step(self, step: int) -> dict[str, float]:
        """Train on one batch."""
        self.network.train()
        optimizer = self.optimizers["network"]
        factor = linear_decay(step, self.config.steps, self.config.decay_from)
        set_learning_rate(optimizer, self.config.learning_rate * factor)
        batch = self._batch(generator_of(self.seed, "comparator", step))
        if not teaches(batch.label_maps, self.examples.dataset.classes.ignore_index):
            return {}
        losses = (self._failures(batch) if self.config.loss.teaches else {}) | self._beside(batch)
        descend(optimizer, torch.stack(list(losses.values())).sum())
        update_average(self.average, self.network, step, self.config.average)
        return {name: loss.item() for name, loss in losses.items()}

    def _failures(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of eq. 8, the mean over all that F says."""
        classes = self.examples.dataset.classes
        error, true_quality = failure_targets(
            batch.logits,
            batch.label_maps,
            len(classes),
            classes.ignore_index,
            present_only=self.config.loss.present_only,
            measure=self.network.config.measure,
        )
        with self.runtime.autocast():
            votes = self._votes(batch)
        losses = [failure_loss(*vote, error, true_quality, batch.logits, self.config.loss) for vote in votes]
        pixel, quality = (torch.stack(terms).mean() for terms in zip(*losses, strict=True))
        return {"pixel": pixel, "quality": quality}

    def _votes(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """What F says, once or several times, each to be judged alone."""
        assert isinstance(batch.shown, Evidence)
        return [self.network(batch.shown)]

    def _beside(self, batch: Batch) -> dict[str, Tensor]:
        """What else F learns, by the name of its loss."""
        return {}

    def _batch(self, generator: torch.Generator) -> Batch:
        parts = [self._windowed(view_name, index, generator) for view_name, index in self._choices(generator)]
        images, syntheses, logits, feature_distances, label_maps = (
            torch.stack(part) for part in zip(*parts, strict=True)
        )
        send = self.runtime.send
        images = send(images)
        shown = None if self.examples.generator == DIRECT else send(syntheses)
        evidence = Evidence(images, shown, send(logits), send(feature_distances))
        return Batch(evidence, evidence.logits, label_maps.to(self.runtime.device))

    def _choices(self, generator: torch.Generator) -> Iterator[tuple[str, int]]:
        """Draw the examples of a batch."""
        views, indices = self.examples.views, self.examples.indices
        for choice in torch.randint(len(indices) * len(views), (self.config.batch,), generator=generator).tolist():
            sample, way = divmod(choice, len(views))
            yield views[way], indices[sample]

    def _windowed(self, view_name: str, index: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """A random window of an example: image, synthesis, logits, feature distances and label map."""
        evidence, label_map = self._read(view_name, index)
        dataset = self.examples.dataset
        window = draw_window(dataset, evidence.image, self.config.zoom, generator)
        return self._augmented(evidence, label_map, window, window_size(dataset), generator)

    def _read(self, view_name: str, index: int) -> tuple[Evidence, Tensor]:
        """An example at least as large as a patch: the evidence by its border, the label map by the ignore index."""
        evidence, label_map = self.examples.read(view_name, index)
        dataset = self.examples.dataset
        if not dataset.patch:
            return evidence, label_map
        return evidence.at_least(dataset.patch), at_least(label_map, dataset.patch, dataset.classes.ignore_index)

    def _augmented(
        self, evidence: Evidence, label_map: Tensor, window: Window, size: tuple[int, ...], generator: torch.Generator
    ) -> tuple[Tensor, ...]:
        image = view(evidence.image, window, size, "linear")
        jittered = jitter(image, self.config.jitter, generator)
        synthesis = jittered if evidence.synthesis is None else view(evidence.synthesis, window, size, "linear")
        feature_distances = view(evidence.feature_distances, window, size, "linear")
        logits = view(evidence.logits, window, size, "linear")
        return jittered, synthesis, logits, feature_distances, view(label_map, window, size, "nearest")


def failure_targets(
    logits: Tensor,
    label_maps: Tensor,
    classes: int,
    ignore_index: int,
    *,
    present_only: bool = True,
    measure: Measure = "IoU",
) -> tuple[Tensor, Tensor]:
    """Return what F should say.

    Args:
        logits: Of M, shape (B, L, *S).
        label_maps: y, shape (B, *S).
        classes: L.
        ignore_index: Pixels of this value are not judged.
        present_only: Leave a class that is predicted but absent unjudged (NaN), else its IoU is 0.
        measure: Of c_iu; Dice is defined of every class where a voxel has one.

    Returns:
        c_m of eq. 7, shape (B, *S), NaN on ignored pixels; and c_iu of eq. 6, shape (B, L), NaN where not judged.
    """
    predicted = logits.argmax(dim=1)
    error = (predicted != label_maps).float().masked_fill(label_maps == ignore_index, torch.nan)
    pairs = zip(label_maps.cpu(), predicted.cpu(), strict=True)
    judged = [image_quality(measure, y, y_hat, classes, ignore_index) for y, y_hat in pairs]
    quality = torch.stack(judged).float().to(logits.device)
    if not present_only:
        known = label_maps != ignore_index
        for label in range(classes):
            predicted_somewhere = ((predicted == label) & known).flatten(1).any(dim=1)
            quality[quality[:, label].isnan() & predicted_somewhere, label] = 0.0
    return error, quality


def batched(evidence: Evidence, runtime: Runtime) -> Evidence:
    """Return the evidence of one image as a batch of one, on the device."""
    return evidence.mapped(lambda part: runtime.send(part[None]))


@torch.no_grad()
def fit_score(
    network: ComparisonNetwork, examples: ImperfectExamples, runtime: Runtime, seed: int, pixels: int = 500
) -> Blend:
    """Fit the blend on predictions that neither M nor F was trained on.

    Args:
        network: F.
        examples: The images kept aside, as `indices`.
        runtime: Where F runs.
        seed: Of the choice of pixels.
        pixels: Number taken from each prediction.

    Raises:
        DataError: No pixel has a class.
    """
    network.eval()
    samples = list(_pixels_of(network, examples, runtime, seed, pixels))
    error_log_odds, msp, error = (torch.cat(part) for part in zip(*samples, strict=True))
    if not len(error):
        raise DataError(
            f"no pixel of the {len(examples.indices)} images kept aside has a class; the blend of F and M is fitted to "
            "them; label more images, or correct the ignore index"
        )
    return fit_blend(error_log_odds, msp, error)


def _pixels_of(
    network: ComparisonNetwork, examples: ImperfectExamples, runtime: Runtime, seed: int, pixels: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    ignore = examples.dataset.classes.ignore_index
    for view_name, index in examples:
        evidence, label_map = examples.read(view_name, index)
        batch = batched(evidence, runtime)
        with runtime.autocast():
            error_log_odds, _ = network(batch)
        known = torch.nonzero(label_map.flatten() != ignore)[:, 0]
        generator = generator_of(seed, "blend", view_name, index)
        chosen = known[torch.randperm(len(known), generator=generator)[:pixels]]
        error = (evidence.logits.argmax(dim=0) != label_map).float()
        yield (
            error_log_odds[0].cpu().flatten()[chosen],
            msp_log_odds(batch.logits)[0].cpu().flatten()[chosen],
            error.flatten()[chosen],
        )
