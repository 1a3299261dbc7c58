from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.errors import InputError
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.synthesis.base import Generator
from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator
from synthcp.system.runtime import Runtime
from synthcp.training.imperfect_predictions import (
    FoldRule,
    ImperfectPrediction,
    ImperfectPredictions,
    Synthesizer,
    assign_folds,
)


@pytest.mark.parametrize("count", [4, 5, 7, 367, 2975])
@pytest.mark.parametrize("folds", [2, 4])
def test_contiguous_folds_are_the_authors(count: int, folds: int) -> None:
    expected = [
        fold for fold in range(folds) for _ in range(int(fold * count / folds), int((fold + 1) * count / folds))
    ]
    assert assign_folds(["one"] * count, folds, "contiguous") == expected


def test_dealt_folds_see_every_part_in_whole_blocks() -> None:
    fold_of = assign_folds([""] * 100, 4, "dealt", runs=5)
    changes = [index for index in range(1, 100) if fold_of[index] != fold_of[index - 1]]
    assert changes == list(range(5, 100, 5))
    for part in range(5):
        assert set(fold_of[20 * part : 20 * part + 20]) == {0, 1, 2, 3}


@pytest.mark.parametrize("rule", ["contiguous", "dealt"])
@pytest.mark.parametrize("count", [4, 6, 17, 101])
def test_every_fold_holds_its_share(rule: FoldRule, count: int) -> None:
    fold_of = assign_folds([""] * count, 4, rule)
    sizes = [fold_of.count(fold) for fold in range(4)]
    assert sum(sizes) == count and min(sizes) >= 1
    assert max(sizes) - min(sizes) <= (1 if rule == "contiguous" else 4)


def test_groups_are_never_split_and_the_largest_go_first() -> None:
    groups = ["b"] * 2 + ["a"] * 5 + ["c"] * 2 + ["b"] * 1 + ["d"] * 4
    assert assign_folds(groups, 2, "group") == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]  # a 5 + c 2, d 4 + b 3


@pytest.mark.parametrize(
    ("groups", "rule", "text"),
    [(["a"] * 3, "contiguous", "3 images"), (["a"] * 3, "dealt", "3 images"), (["a", "b"] * 4, "group", "2 groups")],
)
def test_too_few_samples_or_groups(groups: list[str], rule: FoldRule, text: str) -> None:
    with pytest.raises(InputError, match=f"{text} cannot make 4 folds"):
        assign_folds(groups, 4, rule)


class Seen(SpadeGenerator):
    """Remembers what it draws from."""

    def forward(self, label_map: Tensor, image: Tensor) -> Tensor:
        self.label_map, self.image = label_map, image
        return super().forward(label_map, image)


@pytest.fixture
def segmenter() -> DeepLab:
    torch.manual_seed(0)
    return DeepLab(2, DeepLabConfig(classes=3, width=4, dropout=0.0)).eval()


@pytest.fixture
def generators() -> dict[str, Generator]:
    torch.manual_seed(1)
    config = SpadeConfig(3, width=4, hidden=4, multipliers=(2, 1))
    return {"first": Seen(2, config).eval(), "second": Seen(2, config).eval()}


def test_predictions_come_back_with_every_drawing_of_them(
    folder: Path, cpu: Runtime, segmenter: DeepLab, generators: dict[str, Generator]
) -> None:
    image = torch.rand(3, 32, 40)
    imperfect = ImperfectPredictions(folder)
    prediction = segmenter(image[None])
    imperfect.write("last", 7, Synthesizer(segmenter, generators, cpu)(image, prediction))
    kept = imperfect.read("last", 7)
    assert kept.image is None
    objectness = FeatureDistance(segmenter).objectness(image[None], prediction)[0].detach()
    torch.testing.assert_close(kept.objectness, objectness, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(kept.logits, prediction.logits[0].detach(), atol=1e-3, rtol=1e-3)
    for name, generator in generators.items():
        assert isinstance(generator, Seen) and generator.label_map.equal(prediction.label_map)
        assert generator.image.equal(image[None])
        synthesis = generator(prediction.label_map, image[None]).detach()
        torch.testing.assert_close(kept.syntheses[name], synthesis[0], atol=0.5001 / 255, rtol=0)
        expected = FeatureDistance(segmenter).feature_distances(image[None], synthesis, prediction)[0].detach()
        torch.testing.assert_close(kept.feature_distances[name], expected, atol=1e-3, rtol=1e-3)


def test_without_a_live_model_nobody_looks_at_the_drawing(
    folder: Path, cpu: Runtime, segmenter: DeepLab, generators: dict[str, Generator]
) -> None:
    image = torch.rand(3, 32, 40)
    imperfect = ImperfectPredictions(folder)
    imperfect.write("last", 0, Synthesizer(None, generators, cpu)(image, segmenter(image[None])))
    kept = imperfect.read("last", 0)
    assert kept.feature_distances["first"].shape == (0, 32, 40) and kept.syntheses["first"].shape == (3, 32, 40)
    assert kept.objectness is None


def test_logits_beyond_half_precision_are_kept_as_they_are(tmp_path: Path) -> None:
    logits = torch.tensor([1e5, 9e4]).view(2, 1, 1).repeat(1, 3, 4)
    kept = ImperfectPredictions(tmp_path)
    kept.write("last", 0, ImperfectPrediction(logits, {}, {}))
    assert kept.read("last", 0).logits.equal(logits)
