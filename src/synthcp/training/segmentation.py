"""Training M: cross-entropy, with soft Dice if wanted, on augmented crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.nn.labels import one_hot
from synthcp.ranges import COUNT, FACTOR, SHARE, WEIGHT, check_ranges
from synthcp.segmentation.base import Segmenter
from synthcp.system.runtime import Runtime, generator_of
from synthcp.training.batches import labelled_batch, teaches
from synthcp.training.loop import Training, descend, polynomial_decay, set_learning_rate
from synthcp.training.soft_dice import soft_dice


@dataclass(frozen=True)
class SegmentationConfig:
    """How M is trained.

    Attributes:
        steps: Number of batches.
        batch: Images in each.
        optimizer: "sgd" with momentum 0.9 (DeepLab), or "adam" (AdamW), which learns faster from scratch.
        learning_rate: It decays polynomially (DeepLab's "poly").
        weight_decay: Of the optimizer.
        zoom: Range of the random enlargement.
        jitter: Strength of the random change of light and colour, in [0, 1].
        dice: Weight of 1 - soft Dice beside the cross-entropy: a structure that fills little of a volume then counts.
    """

    steps: int
    batch: int = 8
    optimizer: Literal["sgd", "adam"] = "adam"
    learning_rate: float = 2e-3
    weight_decay: float = 5e-4
    zoom: tuple[float, float] = (1.0, 1.5)
    jitter: float = 0.15
    dice: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(
            self,
            steps=COUNT,
            batch=FACTOR,
            learning_rate=WEIGHT,
            weight_decay=WEIGHT,
            zoom=FACTOR,
            jitter=SHARE,
            dice=WEIGHT,
        )


class SegmentationTraining(Training):
    """One step = one batch."""

    def __init__(
        self, segmenter: Segmenter, dataset: Dataset, config: SegmentationConfig, runtime: Runtime, seed: int
    ) -> None:
        self.segmenter = runtime.place(segmenter)
        self.dataset = dataset
        self.config = config
        self.runtime = runtime
        self.seed = seed
        self.modules = {"segmenter": segmenter}
        self.optimizers = {"segmenter": _optimizer(segmenter, config)}

    def step(self, step: int) -> dict[str, float]:
        """Train on one batch."""
        self.segmenter.train()
        optimizer = self.optimizers["segmenter"]
        set_learning_rate(optimizer, self.config.learning_rate * polynomial_decay(step, self.config.steps))
        generator = generator_of(self.seed, "segmentation", step)
        images, label_maps = labelled_batch(
            self.dataset, self.config.batch, self.config.zoom, self.config.jitter, generator
        )
        if not teaches(label_maps, self.dataset.classes.ignore_index):
            return {}
        with self.runtime.autocast():
            supervised = self.segmenter.supervised(self.runtime.send(images))
        label_maps = label_maps.to(self.runtime.device)
        loss = torch.stack([weight * self._loss(logits, label_maps) for weight, logits in supervised]).sum()
        descend(optimizer, loss)
        return {"loss": loss.item()}

    def _loss(self, logits: Tensor, label_maps: Tensor) -> Tensor:
        ignore = self.dataset.classes.ignore_index
        entropy = F.cross_entropy(logits, label_maps, ignore_index=ignore)
        if not self.config.dice:
            return entropy
        known = (label_maps != ignore).unsqueeze(1)
        overlap = soft_dice(logits.softmax(dim=1) * known, one_hot(label_maps, logits.shape[1]) * known)
        return entropy + self.config.dice * (1 - overlap.mean())


def _optimizer(segmenter: Segmenter, config: SegmentationConfig) -> torch.optim.Optimizer:
    parameters = segmenter.parameters()
    if config.optimizer == "adam":
        return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(parameters, lr=config.learning_rate, momentum=0.9, weight_decay=config.weight_decay)
