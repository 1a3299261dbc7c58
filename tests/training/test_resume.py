"""An interrupted training ends with the very bits of one that was not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from synthcp.comparison.network import ComparisonConfig
from synthcp.comparison.siamese import SiameseNetwork
from synthcp.data.base import Dataset
from synthcp.nn.spatial import SpatialDims
from synthcp.rivals.autoencoder import Autoencoder, AutoencoderConfig, AutoencoderTraining, AutoencoderTrainingConfig
from synthcp.rivals.true_class_probability import (
    ConfidenceConfig,
    ConfidenceNetwork,
    ConfidenceTraining,
    ConfidenceTrainingConfig,
)
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.synthesis.base import Generator
from synthcp.synthesis.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from synthcp.synthesis.pix2pixhd import Pix2PixHDConfig, Pix2PixHDGenerator
from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator
from synthcp.synthesis.style_encoder import StyledSpadeGenerator, StyleEncoderConfig
from synthcp.system.runtime import Runtime
from synthcp.training import loop
from synthcp.training.comparator import ComparatorConfig, ComparatorTraining, ImperfectExamples
from synthcp.training.gan import GanConfig, GanTraining
from synthcp.training.imperfect_predictions import ImperfectPredictions, Synthesizer
from synthcp.training.loop import Stage, Training, train
from synthcp.training.segmentation import SegmentationConfig, SegmentationTraining

STEPS = 4
SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (32, 40), 3: (16, 16, 24)}


def segmenter_of(dims: SpatialDims) -> DeepLab:
    return DeepLab(dims, DeepLabConfig(classes=3, width=4, rates=(1, 2)))


def generator_of(dims: SpatialDims) -> SpadeGenerator:
    return SpadeGenerator(dims, SpadeConfig(3, width=4, hidden=4, multipliers=(2, 2, 1)))


def segmentation(dims: SpatialDims, dataset: Dataset, cpu: Runtime, folder: Path) -> Training:
    return SegmentationTraining(segmenter_of(dims), dataset, SegmentationConfig(STEPS, batch=2), cpu, seed=0)


def segmentation_by_sgd(dims: SpatialDims, dataset: Dataset, cpu: Runtime, folder: Path) -> Training:
    config = SegmentationConfig(STEPS, batch=2, optimizer="sgd", learning_rate=0.01)
    return SegmentationTraining(segmenter_of(dims), dataset, config, cpu, seed=0)


def gan_of(generator: Generator, dims: SpatialDims, dataset: Dataset, cpu: Runtime, **config: Any) -> Training:
    discriminator = MultiScaleDiscriminator(dims, DiscriminatorConfig(3, width=4))
    torch.manual_seed(5)  # the perceptual network is no part of the training's state
    features = segmenter_of(dims).eval().requires_grad_(False).features
    parts = {"discriminator": discriminator, "perceptual_network": features}
    return GanTraining(generator, dataset, GanConfig(STEPS, batch=2, **config), cpu, 0, **parts)  # type: ignore[arg-type]


def gan(dims: SpatialDims, dataset: Dataset, cpu: Runtime, folder: Path) -> Training:
    return gan_of(generator_of(dims), dims, dataset, cpu)


def styled_gan(dims: SpatialDims, dataset: Dataset, cpu: Runtime, folder: Path) -> Training:
    spade, style = SpadeConfig(3, width=4, hidden=4, multipliers=(2, 1)), StyleEncoderConfig(4, halvings=1, latent=6)
    return gan_of(StyledSpadeGenerator(dims, spade, style), dims, dataset, cpu)


def pix2pixhd_gan(dims: SpatialDims, dataset: Dataset, cpu: Runtime, folder: Path) -> Training:
    generator = Pix2PixHDGenerator(dims, Pix2PixHDConfig(3, width=4, halvings=1, blocks=1))
    return gan_of(generator, dims, dataset, cpu, loss="least_squares")


def comparator(dims: SpatialDims, dataset: Dataset, cpu: Runtime, folder: Path) -> Training:
    network = SiameseNetwork(dims, ComparisonConfig(3, width=4, hidden=4, label_input="softmax", uses_uncertainty=True))
    imperfect = ImperfectPredictions(folder.parent / "imperfect")
    for index, sample in enumerate(dataset):
        if imperfect.path("last", index).exists():  # as of the attempt before
            continue
        segmenter, generator = segmenter_of(dims).eval(), generator_of(dims).eval()
        prediction = segmenter(sample.image[None])
        synthesizer = Synthesizer(segmenter, {"synthcp": generator}, cpu)
        imperfect.write("last", index, synthesizer(sample.image, prediction))
    examples = ImperfectExamples(dataset, imperfect, ("last",), range(len(dataset)), "synthcp")
    return ComparatorTraining(network, examples, ComparatorConfig(STEPS, batch=2), cpu, seed=0)


def autoencoder(dims: SpatialDims, dataset: Dataset, cpu: Runtime, folder: Path) -> Training:
    network = Autoencoder(dims, AutoencoderConfig(width=4, depth=2, bottleneck=4))
    return AutoencoderTraining(network, dataset, AutoencoderTrainingConfig(STEPS, batch=2), cpu, seed=0)


def confidence(dims: SpatialDims, dataset: Dataset, cpu: Runtime, folder: Path) -> Training:
    first = torch.initial_seed()
    torch.manual_seed(5)  # M is no part of the training's state
    segmenter = segmenter_of(dims)
    torch.manual_seed(first)
    network = ConfidenceNetwork(segmenter, dataset[0].image[None], ConfidenceConfig(fused=4, widths=(4,)))
    config = ConfidenceTrainingConfig(STEPS, batch=2, fine_tune=0.5)
    return ConfidenceTraining(network, segmenter, dataset, config, cpu, seed=0)


class Killed(BaseException):
    """The end of a process."""


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    "make",
    [segmentation, segmentation_by_sgd, gan, styled_gan, pix2pixhd_gan, comparator, autoencoder, confidence],
    ids=lambda make: make.__name__,
)
def test_a_kill_at_any_step_changes_nothing(
    make: Callable[..., Training],
    dims: SpatialDims,
    toy: Callable[..., Dataset],
    cpu: Runtime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    dataset = toy(3, SIZES[dims])

    def begin(name: str, seed: int) -> tuple[Training, Path]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        torch.manual_seed(seed)
        return make(dims, dataset, cpu, folder), folder

    def kill(stage: str, step: int, steps: int, losses: object) -> None:
        if step == kills[0]:
            kills.pop(0)
            raise Killed

    reference, folder = begin("reference", 0)
    train(reference, STEPS, Stage(folder, "stage"))
    kills = [2, 4, 99]
    for attempt in range(3):
        training, folder = begin("killed", attempt)  # other first weights, all to be replaced by the checkpoint's
        try:
            train(training, STEPS, Stage(folder, "stage", progress=kill))
        except Killed:
            continue
    assert kills == [99]
    for name, module in reference.modules.items():
        weights = training.modules[name].state_dict()
        assert [key for key, value in module.state_dict().items() if not value.equal(weights[key])] == []
