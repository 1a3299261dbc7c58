"""What every training does with label maps of which no pixel has a class: they teach nothing, and stop nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from synthcp.comparison.network import ComparisonConfig
from synthcp.comparison.siamese import SiameseNetwork
from synthcp.data.base import Dataset
from synthcp.errors import DataError
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Sample, measure_of
from synthcp.rivals.shape_vae import ShapeVae, ShapeVaeConfig
from synthcp.rivals.true_class_probability import (
    ConfidenceConfig,
    ConfidenceNetwork,
    ConfidenceTraining,
    ConfidenceTrainingConfig,
)
from synthcp.rivals.vae_alarm import ShapeVaeTraining, ShapeVaeTrainingConfig
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.synthesis.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator
from synthcp.system.runtime import Runtime
from synthcp.training.comparator import ComparatorConfig, ComparatorTraining, ImperfectExamples, fit_score
from synthcp.training.gan import GanConfig, GanTraining
from synthcp.training.imperfect_predictions import ImperfectPrediction, ImperfectPredictions
from synthcp.training.loop import Stage, Training, train
from synthcp.training.segmentation import SegmentationConfig, SegmentationTraining

CPU = Runtime(torch.device("cpu"))
SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (32, 40), 3: (16, 20, 40)}
STEPS = 8
Make = Callable[[Dataset, Path], Training]
Fails = Callable[..., AbstractContextManager[None]]


class Void(Dataset):
    """Another data set of which some images have no pixel with a class."""

    def __init__(self, dataset: Dataset, void: set[int]) -> None:
        self.dataset, self.void = dataset, void
        self.classes, self.ids = dataset.classes, dataset.ids

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        assert sample.label_map is not None
        nothing = torch.full_like(sample.label_map, self.classes.ignore_index)
        return replace(sample, label_map=nothing) if index in self.void else sample


def dims_of(dataset: Dataset) -> SpatialDims:
    return 3 if dataset[0].image.ndim == 4 else 2


def deeplab(dataset: Dataset) -> DeepLab:
    return DeepLab(dims_of(dataset), DeepLabConfig(3, width=4, output_stride=4, rates=(1,)))


def segmentation(dataset: Dataset, folder: Path) -> Training:
    return SegmentationTraining(deeplab(dataset), dataset, SegmentationConfig(STEPS, batch=1), CPU, 0)


def segmentation_by_momentum(dataset: Dataset, folder: Path) -> Training:
    config = SegmentationConfig(STEPS, batch=1, optimizer="sgd", learning_rate=0.01, dice=0.5)
    return SegmentationTraining(deeplab(dataset), dataset, config, CPU, 0)


def gan(dataset: Dataset, folder: Path) -> Training:
    dims = dims_of(dataset)
    judge = MultiScaleDiscriminator(dims, DiscriminatorConfig(3, width=4))
    generator = SpadeGenerator(dims, SpadeConfig(3, width=4, hidden=4, multipliers=(2, 1)))
    training = GanTraining(generator, dataset, GanConfig(STEPS, batch=1), CPU, 0, discriminator=judge)
    training.pictures = 0
    return training


def examples_of(dataset: Dataset, folder: Path) -> ImperfectExamples:
    imperfect = ImperfectPredictions(folder / "imperfect")
    for index, sample in enumerate(dataset):
        size = sample.image.shape[1:]
        logits = torch.randn(3, *size, generator=torch.Generator().manual_seed(index))
        dark, distance = {"dark": sample.image / 2}, {"dark": torch.zeros(5, *size)}
        imperfect.write("last", index, ImperfectPrediction(logits, dark, distance))
    return ImperfectExamples(dataset, imperfect, ("last",), range(len(dataset)), "dark")


def comparator(dataset: Dataset, folder: Path) -> Training:
    dims = dims_of(dataset)
    network = SiameseNetwork(dims, ComparisonConfig(3, width=4, hidden=4, measure=measure_of(dims)))
    return ComparatorTraining(network, examples_of(dataset, folder), ComparatorConfig(STEPS, batch=1), CPU, 0)


def confidence(dataset: Dataset, folder: Path) -> Training:
    segmenter = deeplab(dataset).eval().requires_grad_(False)
    network = ConfidenceNetwork(segmenter, dataset[0].image[None], ConfidenceConfig(3, (4,)))
    return ConfidenceTraining(network, segmenter, dataset, ConfidenceTrainingConfig(STEPS, batch=1), CPU, 0)


def vae(dataset: Dataset, folder: Path) -> Training:
    dims = dims_of(dataset)
    config = ShapeVaeConfig(3, grid=(8, 12, 8)[:dims], widths=(4, 6), latent=5)
    return ShapeVaeTraining(ShapeVae(dims, config), dataset, ShapeVaeTrainingConfig(STEPS, batch=1), CPU, 0)


TRAININGS: list[Make] = [segmentation, segmentation_by_momentum, gan, comparator, confidence, vae]


def state(training: Training) -> list[Tensor]:
    return [value.clone() for module in training.modules.values() for value in module.state_dict().values()]


@pytest.fixture(params=[2, 3])
def dataset(request: pytest.FixtureRequest, toy: Callable[..., Dataset]) -> Dataset:
    return toy(4, SIZES[request.param])


@pytest.mark.parametrize("make", TRAININGS)
def test_void_batches_change_nothing_and_the_others_teach(make: Make, dataset: Dataset, tmp_path: Path) -> None:
    """Batches of one image: a step looks at a void image or at one that teaches. Momentum is there when it comes."""
    torch.manual_seed(0)
    training, taught = make(Void(dataset, {0, 2}), tmp_path), []
    for step in range(STEPS):
        before = state(training)
        losses = training.step(step)
        changed = any(not one.equal(other) for one, other in zip(before, state(training), strict=True))
        assert changed == bool(losses) and all(map(math.isfinite, losses.values()))
        taught.append(bool(losses))
    assert 0 < sum(taught) < STEPS
    assert all(value.isfinite().all() for value in state(training))


@pytest.mark.parametrize("make", TRAININGS)
def test_a_training_without_a_pixel_is_refused(make: Make, dataset: Dataset, tmp_path: Path, fails: Fails) -> None:
    torch.manual_seed(0)
    training, stage = make(Void(dataset, {0, 1, 2, 3}), tmp_path), Stage(tmp_path, "stage")
    before = state(training)
    with fails("stage: no pixel of its 8 batches has a class", "label more pixels", "ignore index", error=DataError):
        train(training, STEPS, stage)
    assert all(one.equal(other) for one, other in zip(before, state(training), strict=True))
    assert not stage.checkpoint.exists()


@pytest.mark.parametrize("make", TRAININGS)
def test_a_training_with_void_images_runs_through(make: Make, dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    training = make(Void(dataset, {0, 1}), tmp_path)
    train(training, STEPS, Stage(tmp_path, "stage"))
    assert all(value.isfinite().all() for value in state(training))


def test_no_blend_is_fitted_to_no_pixel(dataset: Dataset, tmp_path: Path, fails: Fails) -> None:
    examples = examples_of(Void(dataset, {0, 1, 2, 3}), tmp_path)
    network = SiameseNetwork(dims_of(dataset), ComparisonConfig(3, width=4, hidden=4))
    with fails("no pixel of the 4 images kept aside has a class", "label more images", error=DataError):
        fit_score(network, examples, CPU, 0)
