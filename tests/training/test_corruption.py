from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from synthcp.data.base import Dataset
from synthcp.system.runtime import generator_of
from synthcp.training.corruption import CorruptedLabels, _grown, corrupt

SIZES = [(48, 64), (12, 24, 20)]


@pytest.mark.parametrize("size", SIZES)
def test_mistakes_are_some_in_whole_pieces_and_never_the_ignore_value(size: tuple[int, ...]) -> None:
    shares = []
    for seed in range(20):
        label_map = torch.zeros(size, dtype=torch.int64)
        label_map[size[0] // 3 :] = 1
        label_map[..., : size[-1] // 4] = 2
        label_map[0] = 255
        kept = label_map.clone()
        corrupted = corrupt(label_map, 4, 255, generator_of(seed))
        assert label_map.equal(kept) and corrupted.shape == label_map.shape
        assert corrupted.min() >= 0 and corrupted.max() < 4
        shares.append((corrupted != label_map)[label_map != 255].float().mean().item())
    assert 0.02 < sum(shares) / len(shares) < 0.6 and max(shares) < 1
    assert len(set(shares)) > 10


@pytest.mark.parametrize(("size", "radius"), [((9, 14), 2), ((5, 7, 9), 1)])
def test_a_class_grows_by_a_box(size: tuple[int, ...], radius: int) -> None:
    label_map = torch.randint(3, size, generator=generator_of("growth")) * (torch.rand(size) < 0.2)
    box = np.ones([2 * radius + 1] * len(size))
    expected = np.where(binary_dilation(label_map == 2, box), 2, label_map)
    assert _grown(label_map, 2, radius).equal(torch.from_numpy(expected))


@pytest.mark.parametrize("size", SIZES)
def test_predictions_depend_on_seed_and_id_alone(toy: Callable[..., Dataset], size: tuple[int, ...]) -> None:
    dataset = toy(3, size)
    image = dataset[1].image[None]
    first, again = (CorruptedLabels(dataset, seed=4).predict("toy01", image) for _ in range(2))
    assert first.logits.equal(again.logits) and first.logits.shape == (1, 3, *size) and first.layers == ()
    assert not first.logits.equal(CorruptedLabels(dataset, seed=5).predict("toy01", image).logits)
    assert not first.logits.equal(CorruptedLabels(dataset, seed=4).predict("toy02", image).logits)
    assert first.confidence.min() > 0.99  # a label map does not say where it doubts
