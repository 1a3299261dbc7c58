from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, distributions, nn

from synthcp.data.base import Dataset
from synthcp.data.classes import default_colors
from synthcp.nn.labels import one_hot
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Classes, Prediction, Sample
from synthcp.rivals.quality_regression import Line, RegressedQuality
from synthcp.rivals.shape_vae import Box, ShapeVae, ShapeVaeConfig, crop, foreground_box
from synthcp.rivals.vae_alarm import (
    ShapeScore,
    ShapeVaeTraining,
    ShapeVaeTrainingConfig,
    kl_divergence,
    moved,
    shape_of,
    shape_scores,
    soft_dice,
)
from synthcp.system.runtime import Runtime


class Sliding(nn.Module):
    """In a VAE's place: reconstructs every mask one pixel further along the last axis."""

    def __init__(self, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.config = ShapeVaeConfig(classes=3, grid=grid)

    def forward(self, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return mask.roll(1, dims=-1), mask, mask


def organs(size: tuple[int, ...]) -> Tensor:
    """Two label maps: a block with a lesion at its end, and a smaller block without."""
    label_map = torch.zeros(2, *size, dtype=torch.int64)
    label_map[0, 3:13, 4:10], label_map[0, 9:13, 6:8] = 1, 2
    label_map[1, 1:4, 2:9] = 1
    return label_map


@pytest.mark.parametrize(("size", "grid"), [((16, 20), (8, 12)), ((16, 14, 9), (8, 8, 12))])
def test_scores_by_counting(size: tuple[int, ...], grid: tuple[int, ...]) -> None:
    vae = Sliding(grid)
    scores = shape_scores(vae, organs(size))  # type: ignore[arg-type]
    assert scores.shape == (2, 3) and scores[1, 2].isnan()
    for index, label_map in enumerate(organs(size)):
        shown = crop(label_map, foreground_box(label_map, 3, grid), 3, grid)
        for label in range(3 - index):
            there, rebuilt = shown == label, shown.roll(1, dims=-1) == label
            both, either = (there & rebuilt).sum(), (there | rebuilt).sum()
            expected = both / either if len(size) == 2 else 2 * both / (both + either)  # IoU, or Dice
            assert scores[index, label].item() == pytest.approx(expected.item())


def test_an_empty_map_has_a_background_alone() -> None:
    scores = shape_scores(Sliding((8, 12)), torch.zeros(1, 16, 20, dtype=torch.int64))  # type: ignore[arg-type]
    assert scores[0, 0] == 1 and scores[0, 1:].isnan().all()


@pytest.mark.parametrize(("size", "grid"), [((16, 20), (8, 20)), ((16, 14, 9), (8, 7, 18))])
def test_without_a_background_the_whole_image_is_seen(size: tuple[int, ...], grid: tuple[int, ...]) -> None:
    config = ShapeVaeConfig(classes=3, grid=grid, background=None)
    label_map = organs(size)[0]
    label_map[0], label_map[1] = 255, 2
    shown = shape_of(label_map, config)
    assert shown.shape == grid
    for place in product(*map(range, grid)):
        pixel = tuple(int((at + 0.5) * side / number) for at, side, number in zip(place, size, grid, strict=True))
        value = int(label_map[pixel])
        assert shown[place] == (-1 if value == 255 else value)


def test_what_surrounds_a_shape_need_not_be_the_first_class() -> None:
    label_map = organs((16, 20))[0]
    first, last = ShapeVaeConfig(3, grid=(8, 12)), ShapeVaeConfig(3, grid=(8, 12), background=2)
    assert ((shape_of(label_map, first) + 2) % 3).equal(shape_of((label_map + 2) % 3, last))


def test_the_alarm_looks_at_the_mask_alone() -> None:
    torch.manual_seed(0)
    vae = ShapeVae(2, ShapeVaeConfig(classes=3, grid=(8, 12), widths=(4, 6), latent=5)).eval()
    alarm = RegressedQuality(ShapeScore(vae), Line((0.5, 1.0, 2.0), (0.1, 0.0, 0.0)))
    prediction = Prediction(9 * one_hot(organs((16, 20)), 3))
    first, second = (alarm(image, prediction).class_quality for image in torch.rand(2, 2, 1, 16, 20))
    assert first is not None and second is not None and first.equal(second)
    expected = shape_scores(vae, organs((16, 20))) * torch.tensor([0.5, 1, 2]) + torch.tensor([0.1, 0, 0])
    torch.testing.assert_close(first, expected.clamp(0, 1).nan_to_num(0))


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


class Streets(Dataset):
    """Sky above, road below, a car on the road now and then; the bonnet at the bottom is of no class."""

    def __init__(self, count: int = 8) -> None:
        self.classes = Classes(("sky", "road", "car"), default_colors(3))
        self.ids = [f"street{index}" for index in range(count)]

    def __getitem__(self, index: int) -> Sample:
        label_map = torch.zeros(24, 36, dtype=torch.int64)
        label_map[11 + index % 3 :], label_map[22:] = 1, 255
        if index % 2:
            label_map[12:20, 4 + 2 * index : 14 + 2 * index] = 2
        return Sample(self.ids[index], torch.zeros(3, 24, 36), label_map)


def test_streets_are_learnt_whole_and_others_stand_out(cpu: Runtime) -> None:
    """Turned upside down, a street has the very same boxes around its classes: only the place tells."""
    torch.manual_seed(0)
    vae = ShapeVae(2, ShapeVaeConfig(3, grid=(12, 16), widths=(6, 12), latent=8, background=None))
    training = ShapeVaeTraining(vae, Streets(), ShapeVaeTrainingConfig(steps=200, learning_rate=4e-3), cpu, seed=0)
    for step in range(200):
        torch.manual_seed(step)
        training.step(step)
    vae.eval()
    streets = torch.stack([sample.label_map for sample in training.dataset if sample.label_map is not None])
    usual, unusual = (shape_scores(vae, maps).nanmean(dim=0) for maps in (streets, streets.flip(1)))
    assert (usual > 0.6).all() and (usual > unusual + 0.1).all()


def test_pixels_of_no_class_teach_nothing(cpu: Runtime) -> None:
    """Beyond the image, where a moved box may reach, and at ignored pixels no class is shown."""
    vae = ShapeVae(2, ShapeVaeConfig(3, grid=(12, 16), widths=(6, 12), latent=8, background=None))
    training = ShapeVaeTraining(vae, Streets(), ShapeVaeTrainingConfig(steps=1, batch=6, shift=0.2), cpu, seed=0)
    masks = training._batch(torch.Generator().manual_seed(0))
    assert masks.sum(dim=1).unique().tolist() == [0, 1]
    sky_alone = torch.full((1, 24, 36), 255)
    sky_alone[0, :12] = 0
    assert shape_scores(vae.eval(), sky_alone)[0].isnan().tolist() == [False, True, True]


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


def test_the_divergence_is_that_of_normal_distributions() -> None:
    mean, deviation = torch.randn(3, 5), 0.1 + torch.rand(3, 5)
    codes, prior = distributions.Normal(mean, deviation), distributions.Normal(0, 1)
    expected = distributions.kl_divergence(codes, prior).sum(1)
    torch.testing.assert_close(kl_divergence(mean, deviation), expected, atol=1e-4, rtol=1e-4)
    assert kl_divergence(mean, torch.zeros(3, 5)).isfinite().all()


def test_soft_dice_by_counting() -> None:
    probabilities = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    masks = one_hot(torch.randint(3, (2, 4, 5), generator=torch.Generator().manual_seed(1)), 3)
    masks[1, 2], masks[0, :, 0] = 0, 0  # some pixels are of no class
    known = masks.sum(1, keepdim=True)
    overlap = soft_dice(probabilities, masks, background=None)
    assert overlap.shape == (2, 3)
    for b, k in product(range(2), range(3)):
        p, t = (probabilities * known)[b, k].flatten().tolist(), masks[b, k].flatten().tolist()
        both = sum(x * y for x, y in zip(p, t, strict=True))
        assert overlap[b, k].item() == pytest.approx((2 * both + 1) / (sum(p) + sum(t) + 1))
    assert soft_dice(probabilities, masks).equal(overlap[:, 1:])
    assert soft_dice(probabilities, masks, background=1).equal(overlap[:, [0, 2]])
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
