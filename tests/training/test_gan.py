from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from synthcp.data.base import Dataset
from synthcp.synthesis.base import Generator
from synthcp.synthesis.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from synthcp.synthesis.pix2pixhd import Pix2PixHDConfig, Pix2PixHDGenerator
from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator
from synthcp.synthesis.style_encoder import StyledSpadeGenerator, StyleEncoderConfig
from synthcp.system.runtime import Runtime
from synthcp.training.gan import GanConfig, GanTraining, save_grid


class Pyramid(nn.Module):
    """A perceptual network of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3).requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.layer(image)]


@pytest.fixture
def training(toy: Callable[..., Dataset], cpu: Runtime) -> GanTraining:
    torch.manual_seed(0)
    generator = SpadeGenerator(2, SpadeConfig(3, width=4, hidden=4, multipliers=(2, 1)))
    return training_of(generator, toy(3), cpu, Pyramid())


def styled() -> StyledSpadeGenerator:
    spade, style = SpadeConfig(3, width=4, hidden=4, multipliers=(2, 1)), StyleEncoderConfig(4, halvings=2, latent=6)
    return StyledSpadeGenerator(2, spade, style)


def training_of(
    generator: Generator, dataset: Dataset, cpu: Runtime, perceptual: nn.Module | None = None, **config: Any
) -> GanTraining:
    judge = MultiScaleDiscriminator(2, DiscriminatorConfig(3, width=4))
    parts = {"discriminator": judge, "perceptual_network": perceptual}
    return GanTraining(generator, dataset, GanConfig(10, batch=2, **config), cpu, 0, **parts)  # type: ignore[arg-type]


def weights(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def test_a_step_trains_both_and_moves_the_average(training: GanTraining) -> None:
    before = {name: weights(module) for name, module in training.modules.items()}
    losses = training.step(0)
    assert set(losses) == {"G", "D", "matching", "perceptual"} and losses["D"] > 0
    for name, module in training.modules.items():
        moved = [not old.equal(new) for old, new in zip(before[name], module.parameters(), strict=True)]
        assert sum(moved) > 0.8 * len(moved), name
    generator, average = (training.modules[name].get_parameter("to_image.weight") for name in ("generator", "average"))
    first = before["average"][-2]
    torch.testing.assert_close(average, first + 0.9 * (generator - first).detach())  # 0.1 is kept at step 0


def test_the_generators_turn_leaves_no_gradient_in_the_judge(training: GanTraining) -> None:
    images, label_maps = torch.rand(2, 3, 32, 40), torch.randint(3, (2, 32, 40))
    before = weights(training.discriminator)
    training._generator_turn(images, label_maps)
    assert all(parameter.grad is None for parameter in training.discriminator.parameters())
    assert all(old.equal(new) for old, new in zip(before, training.discriminator.parameters(), strict=True))


def test_least_squares_take_the_place_of_the_hinge(toy: Callable[..., Dataset], cpu: Runtime) -> None:
    torch.manual_seed(0)
    generator = Pix2PixHDGenerator(2, Pix2PixHDConfig(3, width=4, halvings=2, blocks=1))
    training = training_of(generator, toy(3), cpu, loss="least_squares")
    images, label_maps = torch.rand(2, 3, 32, 40), torch.randint(3, (2, 32, 40))
    training.discriminator.eval()  # its spectral norms rest
    fake, real = (training.discriminator(label_maps, picture) for picture in (generator(label_maps, images), images))
    expected = torch.stack([(scale[-1] - 1).square().mean() / 2 for scale in fake]).mean()
    before = weights(generator)
    synthesis, losses = training._generator_turn(images, label_maps)
    assert losses["G"] == pytest.approx(expected.item(), rel=1e-4)
    assert not any(old.equal(new) for old, new in zip(before[::2], list(generator.parameters())[::2], strict=True))
    squares = [(a[-1] - 1).square().mean() + b[-1].square().mean() for a, b in zip(real, fake, strict=True)]
    judged = training._discriminator_turn(images, label_maps, synthesis.detach())
    assert judged["D"] == pytest.approx(torch.stack(squares).mean().item() / 2, rel=1e-4)


def test_a_style_costs_its_divergence(toy: Callable[..., Dataset], cpu: Runtime) -> None:
    torch.manual_seed(0)
    generator, images = styled(), torch.rand(2, 3, 32, 40)
    training = training_of(generator, toy(3), cpu, divergence=0.3)
    generator.encoder.eval()  # its spectral norms rest
    mean, deviation = generator.encoder(images).mean, generator.encoder(images).stddev
    expected = 0.3 * (mean**2 + deviation**2 - 2 * deviation.log() - 1).sum() / 2 / len(images)
    _, losses = training._generator_turn(images, torch.randint(3, (2, 32, 40)))
    assert losses["divergence"] == pytest.approx(expected.item(), rel=1e-4)


def test_the_divergence_moves_the_encoder_by_its_weight(toy: Callable[..., Dataset], cpu: Runtime) -> None:
    pulls = []
    for weight in (0.0, 1.0, 3.0):
        torch.manual_seed(0)
        training = training_of(styled(), toy(3), cpu, divergence=weight)
        training._generator_turn(torch.rand(2, 3, 32, 40), torch.randint(3, (2, 32, 40)))
        pull = training.generator.get_parameter("encoder.to_mean.weight").grad
        assert pull is not None
        pulls.append(pull)
    torch.testing.assert_close(pulls[2] - pulls[0], 3 * (pulls[1] - pulls[0]))
    assert (pulls[1] - pulls[0]).abs().max() > 1e-3


def test_both_rates_decay_from_their_own(training: GanTraining) -> None:
    for step, factor in ((0, 1.0), (5, 1.0), (9, 0.2)):
        training.step(step)
        rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in training.optimizers.items()}
        assert rates == pytest.approx({"generator": 1e-4 * factor, "discriminator": 4e-4 * factor})


def test_the_perceptual_loss_falls(training: GanTraining) -> None:
    for optimizer in training.optimizers.values():
        optimizer.param_groups[0]["betas"] = (0.5, 0.9)
    training.config = GanConfig(steps=200, batch=2, generator_rate=5e-3, discriminator_rate=0.0)
    losses = [training.step(step)["perceptual"] for step in range(25)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_the_picture_shows_labels_drawings_and_images(
    training: GanTraining, toy: Callable[..., Dataset], tmp_path: Path
) -> None:
    training.average = copy.deepcopy(training.average)
    training.picture(tmp_path / "pictures" / "one.png", count=2)
    pixels = torch.from_numpy(np.array(Image.open(tmp_path / "pictures" / "one.png")))
    dataset = toy(3)
    assert pixels.shape == (3 * 32, 2 * 40, 3)
    for column, index in enumerate((0, 2)):
        label_map, image = dataset[index].label_map, dataset[index].image
        assert label_map is not None
        shown = pixels[:32, 40 * column : 40 * column + 40]
        assert shown[1:].equal(torch.tensor(dataset.classes.colors, dtype=torch.uint8)[label_map[1:]])
        assert shown[0].count_nonzero() == 0  # ignored
        assert pixels[64:, 40 * column : 40 * column + 40].equal((image * 255).round().byte().movedim(0, -1))


def test_images_that_are_not_rgb_are_shown_by_their_first_channel(tmp_path: Path) -> None:
    channels = torch.tensor([0.2, 0.4, 0.6, 0.8]).view(1, 4, 1, 1).expand(1, 4, 2, 3)
    save_grid(tmp_path / "grid.png", [channels[:, :3], channels[:, 1:], channels[:, 2:], channels, channels[:, 3:]])
    pixels = np.array(Image.open(tmp_path / "grid.png"))
    assert pixels.shape == (10, 3, 3)
    expected = [[51, 102, 153], [102, 153, 204], [153] * 3, [51] * 3, [204] * 3]
    assert pixels[::2, 1].tolist() == pixels[1::2, 2].tolist() == expected


def test_volumes_are_shown_by_their_middle_slice(tmp_path: Path) -> None:
    volume = torch.zeros(1, 1, 3, 4, 5)
    volume[:, :, 1] = 0.6
    save_grid(tmp_path / "volume.png", [volume])
    assert np.unique(np.array(Image.open(tmp_path / "volume.png"))).tolist() == [153]
