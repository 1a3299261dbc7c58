from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from synthcp.nn.labels import one_hot
from synthcp.records import Prediction
from synthcp.rivals.foreground_box import crop, foreground_box
from synthcp.rivals.quality_regression import Line, RegressedQuality
from synthcp.rivals.shape_vae import ShapeVae, ShapeVaeConfig
from synthcp.rivals.vae_alarm import ShapeScore, shape_of, shape_scores


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
