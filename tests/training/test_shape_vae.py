from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, distributions

from synthcp.data.base import Dataset
from synthcp.data.classes import default_colors
from synthcp.detection.foreground_box import Box
from synthcp.detection.shape_vae import PUBLISHED, ShapeVae, ShapeVaeConfig
from synthcp.detection.vae_alarm import shape_scores
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Classes, Sample
from synthcp.runtime import Runtime
from synthcp.training.shape_vae import (
    PUBLISHED_TRAINING,
    ShapeVaeTraining,
    ShapeVaeTrainingConfig,
    kl_divergence,
    moved,
    soft_dice,
)

SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (20, 26), 3: (12, 16, 14)}


class Eggs(Dataset):
    """Ellipsoids of many sizes at many places, each with its yolk above."""

    def __init__(self, dims: SpatialDims, count: int = 8) -> None:
        self.classes = Classes(("air", "white", "yolk"), default_colors(3))
        self.ids = [f"egg{index}" for index in range(count)]
        self.size = SIZES[dims]

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index)
        axes = torch.meshgrid(*[torch.arange(side) / side - 0.5 for side in self.size], indexing="ij")
        place = 0.1 * torch.rand(len(axes), generator=generator)
        radius = 0.3 + 0.1 * torch.rand(1, generator=generator)

        def ball(height: float, factor: float) -> Tensor:
            distances = [(axis - at).square() for axis, at in zip(axes, place, strict=True)]
            distances[0] = (axes[0] - place[0] + height * radius).square()
            return sum(distances, torch.zeros(self.size)).sqrt() < factor * radius

        label_map = ball(0.0, 1.0).long()
        label_map[ball(0.3, 0.6)] = 2
        return Sample(self.ids[index], torch.zeros(1, *self.size), label_map)


def training_of(dims: SpatialDims, runtime: Runtime, config: ShapeVaeTrainingConfig) -> ShapeVaeTraining:
    torch.manual_seed(0)
    vae = ShapeVae(dims, ShapeVaeConfig(classes=3, grid=(12,) * dims, widths=(6, 12), latent=8))
    return ShapeVaeTraining(vae, Eggs(dims), config, runtime, seed=0)


@pytest.mark.parametrize("dims", [2, 3])
def test_shapes_are_learnt_and_others_stand_out(dims: SpatialDims, cpu: Runtime) -> None:
    training = training_of(dims, cpu, ShapeVaeTrainingConfig(steps=100, learning_rate=2e-3))
    for step in range(100):
        torch.manual_seed(step)
        training.step(step)
    eggs = torch.stack([sample.label_map for sample in training.dataset if sample.label_map is not None])
    strange = eggs.clone()
    strange[:, : SIZES[dims][0] // 2] = eggs[:, : SIZES[dims][0] // 2].flip(1)
    strange[..., 2:5] = 2
    training.vae.eval()
    usual, unusual = (shape_scores(training.vae, maps).mean(dim=0) for maps in (eggs, strange))
    assert (usual > 0.6).all() and (usual[1:] > unusual[1:] + 0.1).all()


def test_a_step_depends_on_its_number_alone(toy: Callable[..., Dataset], cpu: Runtime) -> None:
    losses = []
    for _ in range(2):
        training = training_of(2, cpu, ShapeVaeTrainingConfig(steps=4, learning_rate=2e-3))
        torch.manual_seed(1)
        losses.append(training.step(2))
    assert losses[0] == losses[1]
    assert training.optimizers["vae"].param_groups[0]["lr"] == pytest.approx(2e-3)
    training.step(3)
    assert training.optimizers["vae"].param_groups[0]["lr"] == pytest.approx(1e-3)


def test_the_published_training_is_plain_gradient_descent(cpu: Runtime) -> None:
    training = training_of(2, cpu, PUBLISHED_TRAINING)
    optimizer = training.optimizers["vae"]
    assert isinstance(optimizer, torch.optim.SGD)
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]) == (0.1, 0)
    assert PUBLISHED.noise == 0.2 and training.config.kl_weight == 2e-5


def test_the_divergence_is_that_of_normal_distributions() -> None:
    mean, deviation = torch.randn(3, 5), 0.1 + torch.rand(3, 5)
    codes, prior = distributions.Normal(mean, deviation), distributions.Normal(0, 1)
    expected = distributions.kl_divergence(codes, prior).sum(1)
    torch.testing.assert_close(kl_divergence(mean, deviation), expected, atol=1e-4, rtol=1e-4)
    assert kl_divergence(mean, torch.zeros(3, 5)).isfinite().all()


def test_soft_dice_by_counting() -> None:
    probabilities = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    masks = (probabilities.roll(1, dims=1) > 0.6).float()
    masks[1, 2] = 0
    overlap = soft_dice(probabilities, masks)
    assert overlap.shape == (2, 2)
    for b in range(2):
        for k in range(2):
            p, t = probabilities[b, k + 1].flatten().tolist(), masks[b, k + 1].flatten().tolist()
            both = sum(x * y for x, y in zip(p, t, strict=True))
            assert overlap[b, k].item() == pytest.approx((2 * both + 1) / (sum(p) + sum(t) + 1))
    assert soft_dice(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)).item() == 1


def test_a_box_moves_within_its_limits() -> None:
    generator = torch.Generator().manual_seed(0)
    box = Box((10.0, 20.0), (8.0, 40.0))
    boxes = [moved(box, 0.1, 0.05, generator) for _ in range(300)]
    factors = [other.sides[0] / 8 for other in boxes]
    assert all(other.sides[1] / 40 == pytest.approx(factor) for other, factor in zip(boxes, factors, strict=True))
    assert 0.9 <= min(factors) < 0.91 and 1.09 < max(factors) <= 1.1
    for axis in (0, 1):
        shifts = [(other.centre[axis] - box.centre[axis]) / other.sides[axis] for other in boxes]
        assert -0.05 <= min(shifts) < -0.045 and 0.045 < max(shifts) <= 0.05
    assert moved(box, 0.0, 0.0, generator) == box and not math.isnan(sum(factors))
