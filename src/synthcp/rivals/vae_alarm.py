"""The VAE alarm (Liu et al., ICCV 2019): a mask that a VAE of true masks cannot reconstruct has a strange shape.

The detector is RegressedQuality(ShapeScore(vae), fit_line(scores, quality)), the line fitted on imperfect masks. The
image is never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.data.subset import Subset
from synthcp.fitting.fit_data import FitData
from synthcp.metrics.overlap import confusion_matrix, dice, intersection_over_union
from synthcp.nn.labels import one_hot
from synthcp.records import Prediction, measure_of
from synthcp.rivals.quality_regression import ClassScores, fit_line, regressed
from synthcp.rivals.shape_vae import NO_CLASS, Box, ShapeVae, ShapeVaeConfig, box_of, shape_of, view
from synthcp.system.runtime import Runtime, generator_of
from synthcp.training.batches import teaches
from synthcp.training.loop import Training, descend, linear_decay, set_learning_rate
from synthcp.training.soft_dice import soft_dice

GRID = (48, 64)
"""Of street scenes, of whose label maps it still shows a person."""
STEPS = 4
"""Of the VAE, for each step of M."""
TINY = 1e-8
"""Added to a variance or probability before its logarithm is taken."""


@dataclass(frozen=True)
class ShapeVaeTrainingConfig:
    """How the shape VAE is trained.

    Attributes:
        steps: Number of batches.
        batch: Label maps in each.
        learning_rate: Adam's.
        decay_from: Share of the steps after which the rate falls linearly to 0.
        kl_weight: Of the Kullback-Leibler divergence, beside 1 for the overlap.
        cross_entropy: Weight of the cross-entropy, which the published loss lacks. Without it a small class stays
            absent from every reconstruction for a long time: overlap alone says little while there is none.
        scale: Largest random change of the size of the box, as a share of it.
        shift: Largest random shift of the box, as a share of its sides.
    """

    steps: int
    batch: int = 4
    learning_rate: float = 1e-3
    decay_from: float = 0.5
    kl_weight: float = 2e-5
    cross_entropy: float = 1.0
    scale: float = 0.1
    shift: float = 0.03


class ShapeVaeTraining(Training):
    """Overlap of true label maps with their reconstruction, and a prior on the code; one step = one batch."""

    def __init__(
        self, vae: ShapeVae, dataset: Dataset, config: ShapeVaeTrainingConfig, runtime: Runtime, seed: int
    ) -> None:
        self.vae = runtime.place(vae)
        self.dataset = dataset
        self.config = config
        self.runtime = runtime
        self.seed = seed
        self.modules = {"vae": vae}
        self.optimizers = {"vae": torch.optim.Adam(vae.parameters(), lr=config.learning_rate)}

    def step(self, step: int) -> dict[str, float]:
        """Train on one batch."""
        self.vae.train()
        optimizer = self.optimizers["vae"]
        factor = linear_decay(step, self.config.steps, self.config.decay_from)
        set_learning_rate(optimizer, self.config.learning_rate * factor)
        masks = self._batch(generator_of(self.seed, "shape vae", step))
        if not len(masks):
            return {}
        with self.runtime.autocast():
            probabilities, mean, deviation = self.vae(masks)
        overlap = soft_dice(probabilities, masks, self.vae.config.background).mean()
        entropy = -(masks * (probabilities + TINY).log()).sum(dim=1).mean()
        divergence = kl_divergence(mean.float(), deviation.float()).mean()
        descend(optimizer, 1 - overlap + self.config.cross_entropy * entropy + self.config.kl_weight * divergence)
        return {"overlap": overlap.item(), "divergence": divergence.item()}

    def _batch(self, generator: torch.Generator) -> Tensor:
        """One-hot masks, without those of label maps that show nothing, which are no empty streets."""
        indices = torch.randint(len(self.dataset), (self.config.batch,), generator=generator).tolist()
        label_maps = [self._label_map(index) for index in indices]
        shown = [label_map for label_map in label_maps if teaches(label_map, self.dataset.classes.ignore_index)]
        if not shown:
            return torch.empty(0)
        masks = torch.stack([self._shape(label_map, generator) for label_map in shown])
        return self.runtime.send(one_hot(masks, self.vae.config.classes))

    def _label_map(self, index: int) -> Tensor:
        label_map = self.dataset[index].label_map
        assert label_map is not None  # check_labels ran before training
        return label_map

    def _shape(self, label_map: Tensor, generator: torch.Generator) -> Tensor:
        box = box_of(label_map, self.vae.config)
        return view(label_map, moved(box, self.config.scale, self.config.shift, generator), self.vae.config)


def moved(box: Box, scale: float, shift: float, generator: torch.Generator) -> Box:
    """Return a box of another size, by a factor in 1 +- scale, at another place, by +- shift of its sides."""
    size, *places = (2 * torch.rand(1 + len(box.sides), generator=generator) - 1).tolist()
    sides = tuple((1 + scale * size) * side for side in box.sides)
    steps = (shift * place * side for place, side in zip(places, sides, strict=True))
    return Box(tuple(at + step for at, step in zip(box.centre, steps, strict=True)), sides)


def kl_divergence(mean: Tensor, deviation: Tensor) -> Tensor:
    """Return the divergence of normal codes (B, latent) from the standard normal one, shape (B,)."""
    variance = deviation.square()
    return (mean.square() + variance - (variance + TINY).log() - 1).sum(dim=1) / 2


@dataclass(frozen=True)
class ShapeScore:
    """Scores each class by the IoU (in volumes the Dice) of its mask and the mask's reconstruction; larger is better.

    Attributes:
        vae: Trained on ground-truth label maps.
    """

    vae: ShapeVae

    def __call__(self, image: Tensor, prediction: Prediction) -> ClassScores:
        """Measure a prediction (shapes: see QualityScore)."""
        return ClassScores(shape_scores(self.vae, prediction.label_map))


@torch.no_grad()
def shape_scores(vae: ShapeVae, label_map: Tensor) -> Tensor:
    """Return the IoU (in volumes the Dice) of every class between label maps and their reconstructions.

    Those are drawn from the mean code. Both are compared on the grid that the VAE sees.

    Args:
        vae: In evaluation mode.
        label_map: shape (B, *S), of any size.

    Returns:
        shape (B, L), in [0, 1]; NaN where the grid does not show the class.
    """
    classes, quality = vae.config.classes, dice if measure_of(label_map.ndim - 1) == "Dice" else intersection_over_union
    masks = torch.stack([shape_of(one, vae.config) for one in label_map])
    probabilities, _, _ = vae(one_hot(masks, classes))
    pairs = zip(masks, probabilities.argmax(dim=1), strict=True)
    scores = torch.stack([quality(confusion_matrix(mask, rebuilt, classes, NO_CLASS)) for mask, rebuilt in pairs])
    shown = torch.stack([(masks == label).flatten(1).any(dim=1) for label in range(classes)], dim=1)
    return scores.float().where(shown, torch.nan)


def fit_vae_alarm(data: FitData) -> Detector:
    """Fit the VAE to true label maps, and the line to images that it has not seen.

    One VAE serves every M: it knows label maps alone.
    """
    return regressed(data, lambda _: ShapeScore(_fitted_vae(data.lender or data)), fit_line, data.unseen)


def _fitted_vae(data: FitData) -> ShapeVae:
    context, classes = data.context, data.context.settings.classes
    streets = ShapeVaeConfig(len(classes), GRID, background=classes.background)
    config = streets if context.settings.spatial_dims == 2 else ShapeVaeConfig(len(classes))
    steps = ShapeVaeTrainingConfig(STEPS * context.settings.scale.segmentation.steps)
    seen = Subset(context.dataset, sorted(set(range(len(context.dataset))) - set(data.aside)))
    return data.fit_once(
        "shape-vae",
        lambda: ShapeVae(context.settings.spatial_dims, config),
        lambda network: ShapeVaeTraining(network, seen, steps, context.runtime, context.seed),
        steps.steps,
    )
