from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from synthcp.nn.labels import one_hot
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Prediction
from synthcp.rivals.pairwise_dice import PairwiseDice, batch_dice
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.input_size import InputSize

SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (9, 12), 3: (5, 6, 8)}


class Levels(Segmenter):
    """Three classes by the grey level, with thresholds of its own."""

    def __init__(self, dims: SpatialDims, low: float, high: float, input_size: InputSize | None = None) -> None:
        super().__init__(dims, (0.0,), (1.0,), input_size)
        self.low, self.high = low, high

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return 5 * one_hot((image[:, 0] > self.low).long() + (image[:, 0] > self.high), 3), [image]


@pytest.fixture(params=[2, 3])
def dims(request: pytest.FixtureRequest) -> SpatialDims:
    return 3 if request.param == 3 else 2


@pytest.fixture
def image(dims: SpatialDims) -> Tensor:
    return torch.rand(2, 1, *SIZES[dims], generator=torch.Generator().manual_seed(0))


@pytest.fixture
def segmenters(dims: SpatialDims) -> tuple[Segmenter, ...]:
    return Levels(dims, 0.3, 0.6), Levels(dims, 0.35, 0.9), Levels(dims, 0.2, 0.7)


def slow_dice(first: Tensor, second: Tensor, label: int) -> float:
    a, b = (
        set(first.eq(label).flatten().nonzero()[:, 0].tolist()),
        set(second.eq(label).flatten().nonzero()[:, 0].tolist()),
    )
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0


def test_the_mean_over_pairs_by_loop(image: Tensor, segmenters: tuple[Segmenter, ...]) -> None:
    m, *others = segmenters
    judged = PairwiseDice(tuple(others))(image, m(image))
    maps = [segmenter(image).label_map for segmenter in segmenters]
    compared = list(combinations(maps, 2))
    assert judged.class_quality is not None and judged.error_map is not None
    for index in range(2):
        for label in range(3):
            expected = sum(slow_dice(a[index], b[index], label) for a, b in compared) / len(compared)
            assert judged.class_quality[index, label].item() == pytest.approx(expected)
    contradicted = ((maps[1] != maps[0]).float() + (maps[2] != maps[0]).float()) / 2
    assert judged.error_map.equal(contradicted) and set(contradicted.unique().tolist()) == {0, 0.5, 1}


def test_agreement_is_1_also_on_absence(dims: SpatialDims, image: Tensor) -> None:
    dark = image / 4
    same, other = Levels(dims, 0.1, 0.8), Levels(dims, 0.1, 0.2)
    agreed = PairwiseDice((same,))(dark, same(dark)).class_quality
    found = PairwiseDice((other,))(dark, same(dark)).class_quality
    assert agreed is not None and agreed.eq(1).all()
    assert found is not None and found[:, 2].eq(0).all() and (found[:, 0] == 1).all()


def test_the_others_see_the_size_that_m_saw(image: Tensor, dims: SpatialDims) -> None:
    m = Levels(dims, 0.4, 0.6)
    seen: list[tuple[int, ...]] = []
    m.register_forward_pre_hook(lambda module, arguments: seen.append(tuple(arguments[0].shape[2:])))
    small = tuple(side // 2 for side in SIZES[dims])
    judged = PairwiseDice((m,))(image, Prediction(m(image).logits, seen=small))
    assert seen[-1] == small and judged.error_map is not None and judged.error_map.shape == (2, *SIZES[dims])


def test_dice_of_a_batch() -> None:
    first, second = torch.tensor([[0, 1, 1, 1], [0, 0, 0, 0]]), torch.tensor([[0, 0, 1, 1], [0, 0, 0, 2]])
    found = batch_dice(first, second, 3)
    torch.testing.assert_close(found, torch.tensor([[2 / 3, 4 / 5, 1], [6 / 7, 1, 0]]))


def test_no_other_segmenter_is_refused(fails) -> None:
    with fails("one at least"):
        PairwiseDice(())
