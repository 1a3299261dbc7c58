from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import torch

from synthcp.config.scales import Scale
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.fitting.config import FitConfig
from synthcp.fitting.run import begin

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
provoked = import_module("provoked")


def scenes() -> Scenes:
    return Scenes(ScenesConfig(count=8, height=48, width=64))


def test_the_rarest_classes_are_dealt_in_turn_and_absent_ones_are_none() -> None:
    assert provoked.deal_classes([900, 10, 0, 30, 20, 500], folds=2) == [(1, 3), (4,)]  # 3 of the 5 that occur
    assert provoked.deal_classes([5, 5], folds=3) == [(0,), (), ()]


def test_pixels_are_counted_by_class() -> None:
    dataset = scenes()
    maps = torch.stack([sample.label_map for sample in dataset if sample.label_map is not None])
    assert provoked.class_pixels(dataset) == [int((maps == label).sum()) for label in range(len(dataset.classes))]


def test_hidden_classes_are_ignored_and_the_others_stay() -> None:
    dataset = scenes()
    original, hidden = dataset[3].label_map, provoked.Hidden(dataset, (1, 4))[3].label_map
    assert original is not None and hidden is not None
    gone = (original == 1) | (original == 4)
    assert gone.any() and (hidden[gone] == dataset.classes.ignore_index).all() and hidden[~gone].equal(original[~gone])


def test_each_fold_sets_its_images_aside_and_is_read_from_disk_the_next_time(
    smallest_scale: Scale, tmp_path: Path
) -> None:
    options = FitConfig(scale=smallest_scale, device="cpu", precision="fp32", model="resnet", resume=True)
    stages = begin(scenes(), tmp_path / "run", options)
    first = provoked.provoke(stages.context)
    assert sorted(index for fold in first for index in fold.aside) == list(range(8))
    calls = list[str]()
    again = begin(scenes(), tmp_path / "run", options, progress=lambda stage, *_: calls.append(stage))
    for fold, other in zip(first, provoked.provoke(again.context), strict=True):
        assert (fold.hidden, fold.aside) == (other.hidden, other.aside)
        image = scenes()[0].image[None]
        assert fold.segmenter(image).logits.equal(other.segmenter(image).logits)
    assert set(calls) == {"read"}  # nothing was trained
