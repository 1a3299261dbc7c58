"""TCP (Corbiere et al., NeurIPS 2019): a network predicts the probability that M gives to the true class.

Where M errs, its maximum softmax probability may be high; that of the true class is not. In use nobody knows the true
class, so its probability is learnt, from what M sees of the image.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.errors import InputError, ShapeError, UnsuitedError
from synthcp.fitting.fit_data import FitData
from synthcp.nn.spatial import SpatialDims, batch_norm, conv, dims_of, resize
from synthcp.records import Detection, Prediction
from synthcp.segmentation.base import Segmenter, at_size
from synthcp.system.runtime import Runtime, generator_of
from synthcp.training.batches import labelled_batch, teaches
from synthcp.training.loop import Training, descend, linear_decay


@dataclass(frozen=True)
class ConfidenceConfig:
    """The head of a confidence network.

    Attributes:
        fused: Channels into which each of M's feature maps is fused.
        widths: Channels of the 3x3 convolutions before the last; the defaults are those of the authors of TCP.

    Raises:
        InputError: There is no width.
    """

    fused: int = 64
    widths: tuple[int, ...] = (400, 120, 64, 64)

    def __post_init__(self) -> None:
        if not self.widths:
            raise InputError("a confidence head of no widths has no convolution; give one at least, such as (64, 64)")


class ConfidenceHead(nn.Module):
    """M's feature maps, fused and brought to the size of the largest, then 3x3 convolutions to one number a pixel.

    The last of them works at the size of the image: errors lie along borders, which are thinner than M's features.

    Args:
        spatial_dims: 2 or 3.
        channels: Of each feature map.
        config: Of the layers.
    """

    def __init__(self, spatial_dims: SpatialDims, channels: Sequence[int], config: ConfidenceConfig) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(_block(spatial_dims, count, config.fused, kernel=1) for count in channels)
        widths = (len(channels) * config.fused, *config.widths)
        pairs = zip(widths, config.widths, strict=False)
        *convolutions, last = (_block(spatial_dims, *pair, kernel=3) for pair in pairs)
        self.convolutions = nn.Sequential(*convolutions)
        self.head = nn.Sequential(last, conv(spatial_dims, widths[-1], 1))

    def forward(self, layers: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Return the confidence at a size, shape (B, *size), in [0, 1], from feature maps (B, K, *s) of any sizes."""
        largest = max((layer.shape[2:] for layer in layers), key=math.prod)
        fused = [resize(fusion(layer), largest) for fusion, layer in zip(self.fusions, layers, strict=True)]
        log_odds: Tensor = self.head(resize(self.convolutions(torch.cat(fused, dim=1)), size))
        return log_odds[:, 0].float().sigmoid()


def _block(spatial_dims: SpatialDims, in_channels: int, out_channels: int, *, kernel: int) -> nn.Module:
    convolution = conv(spatial_dims, in_channels, out_channels, kernel=kernel, bias=False)
    return nn.Sequential(convolution, batch_norm(spatial_dims, out_channels), nn.ReLU())


class ConfidenceNetwork(nn.Module):
    """A head on an encoder of its own, which starts as a copy of M and may then be fine-tuned; M stays as it is.

    Args:
        segmenter: M, which is copied.
        image: One that M can be shown, shape (1, C, *S), in [0, 1]: by it M's feature maps are known.
        config: Of the head.

    Raises:
        InputError: M shows no feature maps, or lets no gradient through.
    """

    def __init__(self, segmenter: Segmenter, image: Tensor, config: ConfidenceConfig) -> None:
        super().__init__()
        if not segmenter.differentiable:
            raise UnsuitedError("TCP fine-tunes a copy of M, which lets no gradient through; choose another detector")
        self.encoder = copy.deepcopy(segmenter).eval().requires_grad_(True)
        with torch.no_grad():
            layers = self.encoder.predict("", image.to(self.encoder.mean.device)).layers
        if not layers:
            name = type(segmenter).__name__
            raise UnsuitedError(f"{name} shows no feature maps, from which TCP is learnt; choose another detector")
        self.head = ConfidenceHead(dims_of(image), [layer.shape[1] for layer in layers], config)

    def forward(self, image: Tensor) -> Tensor:
        """Return the confidence of an image (B, C, *S) in [0, 1] at its size, shape (B, *S), in [0, 1]."""
        confidence: Tensor = self.head(self.encoder.predict("", image).layers, image.shape[2:])
        return confidence

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the head; the encoder stays as in use, with M's statistics and without dropout."""
        super().train(mode)
        self.encoder.eval()
        return self


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
        if not teaches(label_maps, self.dataset.classes.ignore_index):
            return {}
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


@dataclass(frozen=True)
class TrueClassProbability:
    """Scores every pixel by 1 minus the predicted probability of its true class, in [0, 1]; says nothing of anomalies.

    Attributes:
        network: Trained on images that M was trained on, and what M says of them.
    """

    network: ConfidenceNetwork

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge a prediction (shapes: see Detector); of it only the size at which M saw the image is used."""
        confidence = self.network(resize(image, prediction.seen_size, antialias=True))
        return Detection(error_map=1 - resize(confidence[:, None], image.shape[2:])[:, 0])


def fit_true_class_probability(data: FitData) -> Detector:
    """Fit it to the training images for as many steps as F; its head is as large as the authors' where M is."""
    context, scale, segmenter = data.context, data.context.settings.scale, data.segmenter
    image = context.dataset[0].image[None]
    narrow = ConfidenceConfig(scale.fusion, (2 * scale.fusion, scale.fusion))
    config = ConfidenceConfig() if scale.depth == 101 else narrow
    steps = ConfidenceTrainingConfig(scale.comparator.steps)
    network = data.fit_once(
        "confidence",
        lambda: ConfidenceNetwork(segmenter, image, config),
        lambda network: ConfidenceTraining(network, segmenter, context.dataset, steps, context.runtime, context.seed),
        steps.steps,
    )
    return TrueClassProbability(network)
