"""The autoencoder rival (Baur et al., MICCAI BrainLes 2018): what it cannot reconstruct, it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.fitting.fit_data import FitData
from synthcp.nn.catalogue import new_trunk
from synthcp.nn.published import load_published
from synthcp.nn.spatial import SpatialDims, batch_norm, conv, resize
from synthcp.nn.trunk import Trunk, TrunkShape
from synthcp.records import Detection, Prediction
from synthcp.system.runtime import Runtime, generator_of
from synthcp.training.batches import image_batch
from synthcp.training.loop import Training, descend, linear_decay, set_learning_rate


@dataclass(frozen=True)
class AutoencoderConfig:
    """A spatial autoencoder: its code is a small map, so that images of any size fit.

    Attributes:
        channels: Of the image.
        width: Channels after the first halving; they double with each further one.
        depth: How often the sides are halved.
        bottleneck: Channels of the code; it holds bottleneck / (channels * 2 ** (depth * axes)) of the image's numbers.
        trunk: Of the encoder, by its name, down to stride 16; empty takes strided convolutions.
    """

    channels: int = 3
    width: int = 32
    depth: int = 4
    bottleneck: int = 64
    trunk: str = ""


class Autoencoder(nn.Module):
    """Strided convolutions, or a trunk, down to the code, enlargements and convolutions back; no path around it."""

    def __init__(self, spatial_dims: SpatialDims, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * 2**level for level in range(config.depth)]
        self.encoder, encoded = _encoder(spatial_dims, config, widths)
        self.to_code = conv(spatial_dims, encoded, config.bottleneck, kernel=1)
        self.from_code = conv(spatial_dims, config.bottleneck, widths[-1], kernel=1)
        self.decoder = nn.ModuleList(
            _block(spatial_dims, wide, narrow, stride=1)
            for wide, narrow in zip(widths[::-1], [*widths[-2::-1], config.width], strict=True)
        )
        self.to_image = conv(spatial_dims, config.width, config.channels)

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruct an image, shape (B, C, *S) of any size, in [0, 1]; the result has its shape and range."""
        features = self.from_code(self.to_code(self._encoded(image)))
        for level, block in zip(reversed(range(self.config.depth)), self.decoder, strict=True):
            features = block(resize(features, [-(-side // 2**level) for side in image.shape[2:]]))
        return torch.sigmoid(self.to_image(features).float())

    def _encoded(self, image: Tensor) -> Tensor:
        features: Tensor = self.encoder(image)[-1] if self.config.trunk else self.encoder(2 * image - 1)
        return features


def _encoder(spatial_dims: SpatialDims, config: AutoencoderConfig, widths: list[int]) -> tuple[nn.Module, int]:
    """The way down, and the channels of what it ends in."""
    if config.trunk:
        trunk = new_trunk(config.trunk, TrunkShape(spatial_dims, config.channels, output_stride=16))
        return trunk, trunk.out_channels[-1]
    pairs = zip([config.channels, *widths], widths, strict=False)
    return nn.Sequential(*(_block(spatial_dims, narrow, wide, stride=2) for narrow, wide in pairs)), widths[-1]


def _block(spatial_dims: SpatialDims, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    convolution = conv(spatial_dims, in_channels, out_channels, stride=stride, bias=False)
    return nn.Sequential(convolution, batch_norm(spatial_dims, out_channels), nn.LeakyReLU(0.2))


def reconstruction_error(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the l1 distance of every pixel, averaged over the channels; from (B, C, *S) twice to (B, *S)."""
    return F.l1_loss(reconstruction.float(), image.float(), reduction="none").mean(dim=1)


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
    """Pixel-wise l1 on images of what is known, whose labels are not looked at; one step = one batch."""

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


@dataclass(frozen=True)
class ReconstructionError:
    """Scores every pixel by the l1 error of its reconstruction, in [0, 1]; needs no segmenter, says nothing of errors.

    Attributes:
        autoencoder: Trained on in-distribution images.
    """

    autoencoder: Autoencoder

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        """Judge an image (shapes: see Detector)."""
        return Detection(anomaly_map=reconstruction_error(image, self.autoencoder(image)))


def fit_autoencoder(data: FitData) -> Detector:
    """Fit it to the training images, half as long as G; its encoder is the trunk that F was given, if it was."""
    context, settings = data.context, data.context.settings
    config = AutoencoderConfig(settings.channels, settings.scale.segmenter_width, trunk=settings.encoder)
    steps = AutoencoderTrainingConfig(max(1, settings.scale.gan.steps // 2))

    def training_of(network: Autoencoder) -> AutoencoderTraining:
        if isinstance(network.encoder, Trunk) and context.config.comparator_weights is not None:
            load_published(network.encoder, context.config.comparator_weights, settings.encoder)
        return AutoencoderTraining(network, context.dataset, steps, context.runtime, context.seed)

    network = data.fit_once(
        "autoencoder",
        lambda: Autoencoder(settings.spatial_dims, config),
        training_of,
        steps.steps,
    )
    return ReconstructionError(network)
