"""Training G against D (eq. 1-2) on label maps and images: adversarial, feature matching and perceptual losses."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor, nn

from synthcp.data.base import Dataset
from synthcp.ranges import COUNT, FACTOR, SHARE, WEIGHT, check_ranges
from synthcp.synthesis.base import Generator
from synthcp.synthesis.losses import FeatureNetwork, adversarial_loss, feature_matching, perceptual
from synthcp.system.runtime import Runtime, generator_of
from synthcp.training.batches import labelled_batch, teaches
from synthcp.training.loop import Training, descend, linear_decay, set_learning_rate, update_average


@dataclass(frozen=True)
class GanConfig:
    """How G and D are trained; the rates are SPADE's two-time-scale rule.

    Attributes:
        steps: Number of batches; one step of D and one of G in each.
        batch: Pairs in each.
        generator_rate: Adam's learning rate for G.
        discriminator_rate: Adam's learning rate for D.
        betas: Of Adam.
        decay_from: Share of the steps after which both rates fall linearly to 0.
        feature_matching: Weight of D's features.
        perceptual: Weight of the fixed network's features.
        divergence: Weight of the divergence of the styles, if G has any; SPADE's.
        average: Decay of the averaged weights of G, which are the ones kept; 0 keeps the last ones.
        zoom: Range of the random enlargement.
        loss: Form of eq. 1-2: that of the generator ("own"), SPADE's (hinge) or pix2pixHD's (least squares).
    """

    steps: int
    batch: int = 4
    generator_rate: float = 1e-4
    discriminator_rate: float = 4e-4
    betas: tuple[float, float] = (0.0, 0.9)
    decay_from: float = 0.5
    feature_matching: float = 10.0
    perceptual: float = 10.0
    divergence: float = 0.05
    average: float = 0.995
    zoom: tuple[float, float] = (1.0, 1.3)
    loss: Literal["own", "hinge", "least_squares"] = "own"

    def __post_init__(self) -> None:
        check_ranges(self, steps=COUNT, batch=FACTOR, generator_rate=WEIGHT, discriminator_rate=WEIGHT, zoom=FACTOR)
        check_ranges(self, betas=SHARE, decay_from=SHARE, average=SHARE)
        check_ranges(self, feature_matching=WEIGHT, perceptual=WEIGHT, divergence=WEIGHT)


class GanTraining(Training):
    """One step = one batch: G's turn, then D's turn on the same synthesis.

    Args:
        generator: G.
        dataset: Labelled images.
        config: How both are trained.
        runtime: Where.
        seed: Of the batches.
        discriminator: D.
        perceptual_network: By whose features syntheses are compared with images; without one, D's features alone tell
            them apart (feature matching).
    """

    average: Generator
    pictures = 5

    def __init__(
        self,
        generator: Generator,
        dataset: Dataset,
        config: GanConfig,
        runtime: Runtime,
        seed: int,
        *,
        discriminator: nn.Module,
        perceptual_network: FeatureNetwork | None = None,
    ) -> None:
        self.generator = runtime.place(generator)
        self.discriminator = runtime.place(discriminator)
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.perceptual_network = perceptual_network
        self.dataset = dataset
        self.config = config
        self.adversarial = adversarial_loss(generator.adversarial if config.loss == "own" else config.loss)
        self.runtime = runtime
        self.seed = seed
        adam = torch.optim.Adam
        self.modules = {"generator": generator, "discriminator": discriminator, "average": self.average}
        self.optimizers = {
            "generator": adam(generator.parameters(), lr=config.generator_rate, betas=config.betas),
            "discriminator": adam(discriminator.parameters(), lr=config.discriminator_rate, betas=config.betas),
        }

    def step(self, step: int) -> dict[str, float]:
        """Train G, then D, on one batch."""
        self.generator.train()
        factor = linear_decay(step, self.config.steps, self.config.decay_from)
        set_learning_rate(self.optimizers["generator"], self.config.generator_rate * factor)
        set_learning_rate(self.optimizers["discriminator"], self.config.discriminator_rate * factor)
        images, label_maps = labelled_batch(
            self.dataset, self.config.batch, self.config.zoom, 0.0, generator_of(self.seed, "gan", step)
        )
        if not teaches(label_maps, self.dataset.classes.ignore_index):
            return {}
        images, label_maps = self.runtime.send(images), label_maps.to(self.runtime.device)
        synthesis, losses = self._generator_turn(images, label_maps)
        losses |= self._discriminator_turn(images, label_maps, synthesis.detach())
        update_average(self.average, self.generator, step, self.config.average)
        return losses

    def _generator_turn(self, images: Tensor, label_maps: Tensor) -> tuple[Tensor, dict[str, float]]:
        self.discriminator.requires_grad_(False)
        with self.runtime.autocast():
            synthesis, divergence = self.generator.rehearse(label_maps, images)
            fake = self.discriminator(label_maps, synthesis)
            with torch.no_grad():
                real = self.discriminator(label_maps, images)
            losses = {
                "G": self.adversarial.generator(fake),
                "matching": self.config.feature_matching * feature_matching(real, fake),
                "perceptual": self._likeness(images, synthesis),
            }
        if divergence is not None:
            losses["divergence"] = self.config.divergence * divergence
        descend(self.optimizers["generator"], torch.stack(list(losses.values())).sum())
        return synthesis, {name: loss.item() for name, loss in losses.items()}

    def _likeness(self, images: Tensor, synthesis: Tensor) -> Tensor:
        if self.perceptual_network is None:
            return synthesis.new_zeros(())
        return self.config.perceptual * perceptual(self.perceptual_network, images, synthesis)

    def _discriminator_turn(self, images: Tensor, label_maps: Tensor, synthesis: Tensor) -> dict[str, float]:
        self.discriminator.requires_grad_(True)
        with self.runtime.autocast():
            real = self.discriminator(label_maps, images)
            fake = self.discriminator(label_maps, synthesis)
            loss = self.adversarial.discriminator(real, fake)
        descend(self.optimizers["discriminator"], loss)
        return {"D": loss.item()}

    @torch.no_grad()
    def picture(self, path: Path, count: int = 6) -> None:
        """Draw a grid: label maps above, the averaged generator's syntheses below them, the images at the bottom."""
        indices = [round(index * (len(self.dataset) - 1) / (count - 1)) for index in range(count)]
        samples = [self.dataset[index] for index in indices]
        size = tuple(samples[0].image.shape[1:])
        samples = [sample for sample in samples if tuple(sample.image.shape[1:]) == size]
        label_maps = torch.stack([sample.label_map for sample in samples if sample.label_map is not None])
        self.average.eval()
        images = torch.stack([sample.image for sample in samples])
        syntheses = self.average(label_maps.to(self.runtime.device), self.runtime.send(images)).cpu()
        save_grid(path, [self._colored(label_maps), syntheses, images])

    def _colored(self, label_maps: Tensor) -> Tensor:
        classes = self.dataset.classes
        palette = torch.zeros(max(len(classes), classes.ignore_index) + 1, 3)
        palette[: len(classes)] = torch.tensor(classes.colors) / 255
        return palette[label_maps].movedim(-1, 1)


def save_grid(path: Path, rows: list[Tensor]) -> None:
    """Write rows of images (N, C, H, W) or of the middle slices of volumes (N, C, D, H, W) as one PNG."""
    flat = [row if row.ndim == 4 else row[:, :, row.shape[2] // 2] for row in rows]
    colors = [row if row.shape[1] == 3 else row[:, :1].expand(-1, 3, -1, -1) for row in flat]  # else the first channel
    pixels = torch.cat([torch.cat(list(row), dim=2) for row in colors], dim=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((pixels.movedim(0, -1) * 255).round().byte().numpy()).save(path)
