from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from synthcp.comparison.feature_head import FeatureHead
from synthcp.comparison.network import ComparisonConfig
from synthcp.data.base import Dataset
from synthcp.data.transforms import Window
from synthcp.nn.labels import one_hot
from synthcp.system.runtime import Runtime
from synthcp.training.comparator import DIRECT, ComparatorConfig, ImperfectExamples, batched
from synthcp.training.feature_head import FeatureHeadTraining, on_grid
from synthcp.training.imperfect_predictions import ImperfectPrediction, ImperfectPredictions
from synthcp.training.loop import Stage, train

STEPS = 6
CONFIG = ComparisonConfig(3, width=4, hidden=4, uses_uncertainty=True, feature_distances=1)


@pytest.fixture
def examples(toy: Callable[..., Dataset], tmp_path: Path) -> ImperfectExamples:
    """Surely right on the right half; on the left the next class is said, just as surely."""
    dataset, imperfect = toy(4), ImperfectPredictions(tmp_path / "imperfect")
    for index, sample in enumerate(dataset):
        assert sample.label_map is not None
        logits = 4 * one_hot(sample.label_map[None], 3)[0]
        logits[..., :20] = logits[..., :20].roll(1, dims=0)
        dark, distance = {"dark": sample.image / 2}, {"dark": torch.zeros(1, 32, 40)}
        imperfect.write("last", index, ImperfectPrediction(logits, dark, distance))
    return ImperfectExamples(dataset, imperfect, ("last",), (0, 1, 3), "dark")


def training_of(examples: ImperfectExamples, cpu: Runtime, **config: object) -> FeatureHeadTraining:
    torch.manual_seed(0)
    chosen = replace(ComparatorConfig(STEPS, batch=2, zoom=(1.0, 1.0)), **config)  # type: ignore[arg-type]
    return FeatureHeadTraining(FeatureHead(2, CONFIG), examples, chosen, cpu, seed=0)


def test_a_head_learns_where_m_is_surely_wrong(examples: ImperfectExamples, cpu: Runtime) -> None:
    training = training_of(examples, cpu, steps=150, learning_rate=1e-2, average=0.0)
    losses = [training.step(step)["pixel"] for step in range(150)]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    training.network.eval()
    evidence, _ = examples.read("last", 2)  # which it has not seen
    log_odds = training.network(batched(evidence, cpu))[0]
    assert log_odds[..., :16].mean() > log_odds[..., 24:].mean() + 1


def test_the_syntheses_of_features_learn_from_the_truth(examples: ImperfectExamples, cpu: Runtime) -> None:
    training = training_of(examples, cpu, steps=60, learning_rate=1e-2)
    batch = training._batch(torch.Generator().manual_seed(0))
    assert isinstance(batch.shown, tuple)
    whitened = batch.shown[1]
    with torch.no_grad():
        by_truth = training.network.eval().unlikeliness(whitened, batch.label_maps)
        assert not by_truth.equal(training.network.unlikeliness(whitened, batch.logits.argmax(dim=1)))
        assert training._beside(batch)["features"].equal(by_truth.sum())
    losses = [training.step(step)["features"] for step in range(60)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_the_trunk_looks_once_at_each_picture(examples: ImperfectExamples, cpu: Runtime) -> None:
    with patch.object(FeatureHead, "features", autospec=True, side_effect=FeatureHead.features) as look:
        training_of(examples, cpu)._seen("last", 1, examples.read("last", 1)[0])
        assert look.call_count == 3 + 1  # images, for the whitening, and the synthesis that was asked for
        training_of(examples, cpu)._seen("last", 1, examples.read("last", 1)[0])
        direct = replace(examples, generator=DIRECT)
        training_of(direct, cpu)._seen("last", 1, direct.read("last", 1)[0])
        assert look.call_count == 3 + 1


@torch.no_grad()
def test_what_was_kept_is_what_the_network_sees(examples: ImperfectExamples, cpu: Runtime) -> None:
    training = training_of(examples, cpu)
    evidence, label_map = examples.read("last", 3)
    whole, network = batched(evidence, cpu), training.network
    features = network.features(whole.image)
    seen, whitened = network.seen(features, network.differences(whole, features))[0], network.whitened(features)[0]
    for _ in range(2):  # made, then read
        made = training._seen("last", 3, evidence)
        torch.testing.assert_close(made[0], seen, atol=2e-3, rtol=2e-3)  # float16
        torch.testing.assert_close(made[1], whitened, atol=0.05, rtol=0.05)
    windows = [training._windowed("last", 3, torch.Generator().manual_seed(seed)) for seed in range(8)]
    flips = [labels.equal(label_map.flip(-1)) for *_, labels in windows]
    assert 0 < sum(flips) < 8
    for flip, (part, features_, logits, _) in zip(flips, windows, strict=True):
        torch.testing.assert_close(part.flip(-1) if flip else part, seen, atol=2e-3, rtol=2e-3)
        torch.testing.assert_close(features_.flip(-1) if flip else features_, whitened, atol=0.05, rtol=0.05)
        assert (logits.flip(-1) if flip else logits).equal(evidence.logits)


def test_a_checkpoint_holds_no_trunk_and_is_taken_up_to_the_bit(
    examples: ImperfectExamples, cpu: Runtime, tmp_path: Path
) -> None:
    stage, again = Stage(tmp_path, "head"), Stage(tmp_path, "again")
    whole = training_of(examples, cpu)
    train(whole, STEPS, stage)
    train(training_of(examples, cpu), STEPS // 2, again)
    resumed = training_of(examples, cpu)
    train(resumed, STEPS, again)
    assert not any("trunk" in name for module in whole.modules.values() for name in module.state_dict())
    for name, value in whole.average.state_dict().items():
        assert value.equal(resumed.average.state_dict()[name]), name


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window((0, 0), (32, 40)), Window((0, 0), (8, 10))),
        (Window((9, 13), (16, 20), flip=True), Window((2, 3), (4, 5), flip=True)),
        (Window((31, 39), (1, 1)), Window((7, 9), (1, 1))),  # a cell at least, and inside
    ],
)
def test_a_window_of_the_image_is_one_of_the_grid(window: Window, expected: Window) -> None:
    assert on_grid(window, (32, 40), (8, 10)) == expected
