from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.nn.catalogue import new_trunk
from synthcp.nn.spatial import SpatialDims
from synthcp.nn.trunk import TrunkShape
from synthcp.records import Prediction, Sample
from synthcp.rivals.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    AutoencoderTraining,
    AutoencoderTrainingConfig,
    ReconstructionError,
    reconstruction_error,
)
from synthcp.system.runtime import Runtime
from synthcp.training.batches import image_batch, labelled_batch


def autoencoder_of(dims: SpatialDims, config: AutoencoderConfig) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(dims, config).eval().requires_grad_(False)


@pytest.mark.parametrize(("dims", "size"), [(2, (17, 30)), (2, (16, 32)), (2, (5, 3)), (3, (7, 9, 10))])
@pytest.mark.parametrize("depth", [1, 3])
def test_any_size_comes_back(dims: SpatialDims, size: tuple[int, ...], depth: int) -> None:
    autoencoder = autoencoder_of(dims, AutoencoderConfig(channels=2, width=4, depth=depth, bottleneck=3))
    reconstruction = autoencoder(torch.rand(2, 2, *size))
    assert reconstruction.shape == (2, 2, *size)
    assert reconstruction.min() >= 0 and reconstruction.max() <= 1


@pytest.mark.parametrize(("dims", "size"), [(2, (17, 70)), (3, (9, 17, 33))])
@pytest.mark.parametrize("trunk", ["efficientnet_lite0", "squeezenet1_0"])
def test_a_trunk_may_be_its_encoder(dims: SpatialDims, size: tuple[int, ...], trunk: str) -> None:
    autoencoder = autoencoder_of(dims, AutoencoderConfig(width=4, bottleneck=5, trunk=trunk))
    codes: list[Tensor] = []
    autoencoder.to_code.register_forward_hook(lambda *call: codes.append(call[1][0]))
    image = torch.rand(1, 3, *size)
    assert autoencoder(image).shape == image.shape
    alone = new_trunk(trunk, TrunkShape(dims, output_stride=16)).eval()
    alone.load_weights(autoencoder.encoder.state_dict())
    torch.testing.assert_close(codes[0], alone(image)[-1])
    assert codes[0].shape[2:] == tuple(-(-side // 16) for side in size)


@pytest.mark.parametrize("dims", [2, 3])
def test_everything_passes_through_the_code(dims: SpatialDims) -> None:
    autoencoder = autoencoder_of(dims, AutoencoderConfig(width=4, depth=3, bottleneck=5))
    codes: list[Tensor] = []
    autoencoder.to_code.register_forward_hook(lambda *call: codes.append(call[2]))
    image = torch.rand(1, 3, *[16] * dims)
    first = autoencoder(image)
    assert codes[0].shape == (1, 5, *[2] * dims)
    autoencoder.to_code.register_forward_hook(lambda *call: codes[0])
    assert autoencoder(1 - image).equal(first)  # the code alone decides


@pytest.mark.parametrize("size", [(2, 3), (2, 3, 2)])
def test_the_error_is_the_mean_over_channels(size: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    image, reconstruction = (torch.rand(2, 3, *size, generator=generator) for _ in range(2))
    error = reconstruction_error(image, reconstruction)
    for batch, *pixel in torch.cartesian_prod(*map(torch.arange, error.shape)).tolist():
        gaps = [abs(image[(batch, c, *pixel)] - reconstruction[(batch, c, *pixel)]).item() for c in range(3)]
        assert error[(batch, *pixel)].item() == pytest.approx(sum(gaps) / 3, abs=1e-6)


def test_only_an_anomaly_map_is_given() -> None:
    autoencoder = autoencoder_of(2, AutoencoderConfig(width=4, depth=2, bottleneck=3))
    image = torch.rand(2, 3, 9, 10)
    judged = ReconstructionError(autoencoder)(image, Prediction(torch.zeros(2, 4, 9, 10)))
    assert judged.anomaly_map is not None and judged.error_map is None and judged.synthesis is None
    torch.testing.assert_close(judged.anomaly_map, (image - autoencoder(image)).abs().mean(1))


class Unlabelled(Dataset):
    """The images of another data set."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.classes = dataset.classes
        self.ids = dataset.ids

    def __getitem__(self, index: int) -> Sample:
        return replace(self.dataset[index], label_map=None)


@pytest.fixture
def training(toy: Callable[..., Dataset], cpu: Runtime) -> AutoencoderTraining:
    torch.manual_seed(0)
    config = AutoencoderTrainingConfig(steps=60, batch=4, learning_rate=5e-3)
    autoencoder = Autoencoder(2, AutoencoderConfig(width=8, depth=2, bottleneck=8))
    return AutoencoderTraining(autoencoder, Unlabelled(toy(3)), config, cpu, seed=0)


def test_training_learns_what_it_sees_and_nothing_else(training: AutoencoderTraining) -> None:
    losses = [training.step(step)["loss"] for step in range(60)]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    image = training.dataset[1].image[None].clone()
    image[..., 8:16, 8:16] = torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1) * (torch.arange(8) % 2)  # stripes, never seen
    training.autoencoder.eval().requires_grad_(False)
    score = ReconstructionError(training.autoencoder)(image, Prediction(torch.zeros(1, 3, 32, 40))).anomaly_map
    assert score is not None and score[..., 8:16, 8:16].mean() > 2 * score.mean()


def test_the_rate_decays(training: AutoencoderTraining) -> None:
    for step, factor in ((0, 1.0), (30, 1.0), (45, 0.5)):
        training.step(step)
        assert training.optimizers["autoencoder"].param_groups[0]["lr"] == pytest.approx(5e-3 * factor)


def test_images_are_those_of_labelled_batches(toy: Callable[..., Dataset]) -> None:
    for size in ((32, 40), (8, 12, 16)):
        images = image_batch(Unlabelled(toy(3, size)), 1, (1.0, 1.5), torch.Generator().manual_seed(3))
        labelled, _ = labelled_batch(toy(3, size), 1, (1.0, 1.5), 0.0, torch.Generator().manual_seed(3))
        assert images.equal(labelled) and images.shape == (1, 3, *size)
