"""Training the confidence network of TCP: the head alone at first, then its copy of M's encoder as well."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.errors import ShapeError
from synthcp.records import Prediction
from synthcp.rivals.true_class_probability import ConfidenceNetwork
from synthcp.segmentation.base import Segmenter, at_size
from synthcp.system.runtime import Runtime, generator_of
from synthcp.training.batches import labelled_batch
from synthcp.training.loop import Training, descend, linear_decay


@dataclass(frozen=True)
class ConfidenceTrainingConfig:
    """How a confidence network is trained.

    Attributes:
        steps: Number of batches.
        batch: Images in each.
        learning_rate: Adam's, of the head.
        fine_tune: Share of the steps, the last ones, in which the encoder learns as well; 0 leaves it as M's.
        fine_tune_rate: Adam's learning rate of the encoder, below that of the head, since it starts from what M knows.
        decay_from: Share of the steps after which both rates fall linearly to 0.
        zoom: Range of the random enlargement.
        jitter: Strength of the random change of light and colour, in [0, 1].
    """

    steps: int
    batch: int = 8
    learning_rate: float = 1e-3
    fine_tune: float = 0.3
    fine_tune_rate: float = 1e-4
    decay_from: float = 0.5
    zoom: tuple[float, float] = (1.0, 1.5)
    jitter: float = 0.15


class ConfidenceTraining(Training):
    """One step = one batch of M's training images."""

    def __init__(
        self,
        network: ConfidenceNetwork,
        segmenter: Segmenter,
        dataset: Dataset,
        config: ConfidenceTrainingConfig,
        runtime: Runtime,
        seed: int,
    ) -> None:
        self.network = runtime.place(network)
        self.segmenter = runtime.place(segmenter).eval()
        self.dataset = dataset
        self.config = config
        self.runtime = runtime
        self.seed = seed
        self.modules = {"network": network}
        parts = [{"params": list(part.parameters())} for part in (network.head, network.encoder)]
        self.optimizers = {"network": torch.optim.Adam(parts, lr=config.learning_rate)}

    def step(self, step: int) -> dict[str, float]:
        """Train on one batch."""
        self.network.train()
        self._set_rates(step)
        images, label_maps = labelled_batch(
            self.dataset,
            self.config.batch,
            self.config.zoom,
            self.config.jitter,
            generator_of(self.seed, "confidence", step),
        )
        images, label_maps = self.runtime.send(images), label_maps.to(self.runtime.device)
        with self.runtime.autocast():
            with torch.no_grad():
                prediction = at_size(self.segmenter.predict("", images), images.shape[2:])
            confidence = self._confidence(step, images, prediction)
        target = confidence_targets(prediction.logits, label_maps, self.dataset.classes.ignore_index)
        loss = confidence_loss(confidence, target)
        descend(self.optimizers["network"], loss)
        return {"loss": loss.item()}

    def _confidence(self, step: int, images: Tensor, prediction: Prediction) -> Tensor:
        """Until the encoder learns, it sees what M sees, and M has just looked."""
        if step >= self.config.steps * (1 - self.config.fine_tune):
            confidence: Tensor = self.network(images)
        else:
            confidence = self.network.head(prediction.layers, images.shape[2:])
        return confidence

    def _set_rates(self, step: int) -> None:
        factor = linear_decay(step, self.config.steps, self.config.decay_from)
        head, encoder = self.optimizers["network"].param_groups
        head["lr"], encoder["lr"] = self.config.learning_rate * factor, self.config.fine_tune_rate * factor


def confidence_targets(logits: Tensor, label_maps: Tensor, ignore_index: int) -> Tensor:
    """Return what the network should say: the probability that M gives to the true class of every pixel.

    Args:
        logits: Of M, shape (B, L, *S).
        label_maps: y, shape (B, *S).
        ignore_index: Pixels of this value are not judged.

    Returns:
        Shape (B, *S), in [0, 1]; NaN on ignored pixels.
    """
    ignored = label_maps == ignore_index
    truth = label_maps.masked_fill(ignored, 0)[:, None]
    return logits.float().softmax(dim=1).gather(1, truth)[:, 0].masked_fill(ignored, torch.nan)


def confidence_loss(confidence: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error over the known pixels; 0 when there is none.

    Args:
        confidence: Of the network, shape (B, *S).
        target: Of confidence_targets, same shape; NaN on ignored pixels.

    Raises:
        ShapeError: The shapes differ; a broadcast would hold every image against all images of the batch.
    """
    if confidence.shape != target.shape:
        came, wanted = tuple(confidence.shape), tuple(target.shape)
        raise ShapeError(f"confidence of shape {came} has a target of shape {wanted}; give both as (B, *S)")
    known = ~target.isnan()
    return (confidence - target.nan_to_num())[known].square().sum() / known.sum().clamp(min=1)
