"""Training the autoencoder rival: pixel-wise l1 on images of what is known; labels are not looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from synthcp.data.base import Dataset
from synthcp.rivals.autoencoder import Autoencoder, reconstruction_error
from synthcp.system.runtime import Runtime, generator_of
from synthcp.training.batches import image_batch
from synthcp.training.gan import save_grid
from synthcp.training.loop import Training, descend, linear_decay, set_learning_rate


@dataclass(frozen=True)
class AutoencoderTrainingConfig:
    """How the autoencoder is trained.

    Attributes:
        steps: Number of batches.
        batch: Images in each.
        learning_rate: Adam's.
        decay_from: Share of the steps after which the rate falls linearly to 0.
        zoom: Range of the random enlargement.
    """

    steps: int
    batch: int = 8
    learning_rate: float = 1e-3
    decay_from: float = 0.5
    zoom: tuple[float, float] = (1.0, 1.3)


class AutoencoderTraining(Training):
    """One step = one batch."""

    def __init__(
        self,
        autoencoder: Autoencoder,
        dataset: Dataset,
        config: AutoencoderTrainingConfig,
        runtime: Runtime,
        seed: int,
    ) -> None:
        self.autoencoder = runtime.place(autoencoder)
        self.dataset = dataset
        self.config = config
        self.runtime = runtime
        self.seed = seed
        self.modules = {"autoencoder": autoencoder}
        self.optimizers = {"autoencoder": torch.optim.Adam(autoencoder.parameters(), lr=config.learning_rate)}

    def step(self, step: int) -> dict[str, float]:
        """Train on one batch."""
        self.autoencoder.train()
        optimizer = self.optimizers["autoencoder"]
        factor = linear_decay(step, self.config.steps, self.config.decay_from)
        set_learning_rate(optimizer, self.config.learning_rate * factor)
        generator = generator_of(self.seed, "autoencoder", step)
        images = self.runtime.send(image_batch(self.dataset, self.config.batch, self.config.zoom, generator))
        with self.runtime.autocast():
            reconstruction = self.autoencoder(images)
        loss = reconstruction_error(images, reconstruction).mean()
        descend(optimizer, loss)
        return {"loss": loss.item()}

    @torch.no_grad()
    def picture(self, path: Path, count: int = 6) -> None:
        """Draw a grid: images above, their reconstructions below."""
        generator = generator_of(self.seed, "autoencoder", "picture")
        images = image_batch(self.dataset, count, (1.0, 1.0), generator)
        self.autoencoder.eval()
        save_grid(path, [images, self.autoencoder(self.runtime.send(images)).cpu()])
