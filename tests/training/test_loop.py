from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from synthcp.errors import DataError, SynthCPError
from synthcp.training.loop import (
    Stage,
    Training,
    descend,
    linear_decay,
    polynomial_decay,
    set_learning_rate,
    train,
    update_average,
)


class Descent(Training):
    """Gradient descent on w ** 2 with noise from the global generator; from one step on it reports a broken loss."""

    def __init__(self, broken_from: int = 1000, broken: float = math.nan) -> None:
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.network.weight)
        self.modules = {"network": self.network}
        self.optimizers = {"network": torch.optim.SGD(self.network.parameters(), lr=0.1)}
        self.broken_from = broken_from
        self.broken = broken
        self.pictured: list[str] = []

    def step(self, step: int) -> dict[str, float]:
        loss = ((self.network.weight + torch.randn(1)) ** 2).sum()
        descend(self.optimizers["network"], loss)
        return {"loss": self.broken if step >= self.broken_from else loss.item()}

    def picture(self, path: Path) -> None:
        self.pictured.append(path.name)


def test_progress_metrics_and_pictures(folder: Path) -> None:
    training, calls = Descent(), []
    training.pictures = 4
    train(training, 23, Stage(folder, "stage", progress=lambda *call: calls.append(call[:3])))
    assert calls == [("stage", step, 23) for step in range(1, 24)]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == [("stage", 0), ("stage", 10), ("stage", 20)]
    assert training.pictured == [f"stage-{step:06d}.png" for step in (5, 10, 15, 20)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_training_and_is_not_kept(folder: Path, value: float) -> None:
    with pytest.raises(SynthCPError, match=f"stage: loss became {value} at step 3; lower the learning rate") as caught:
        train(Descent(broken_from=3, broken=value), 5, Stage(folder, "stage"))
    assert "\n" not in str(caught.value)
    assert not Stage(folder, "stage").checkpoint.exists()


def test_a_finished_stage_is_not_trained_again_until_it_is_forgotten(folder: Path) -> None:
    first, again, anew = Descent(), Descent(), Descent()
    train(first, 4, Stage(folder, "stage"))
    train(again, 4, Stage(folder, "stage", progress=lambda *_: pytest.fail("a step was taken")))
    assert again.network.weight.equal(first.network.weight)
    Stage(folder, "stage").forget()
    train(anew, 4, Stage(folder, "stage", seed=1))
    assert not anew.network.weight.equal(first.network.weight)


def test_training_on_equals_training_at_once(folder: Path) -> None:
    parts, whole, stage = Descent(), Descent(), Stage(folder, "parts")
    for steps in (2, 5, 9):
        train(parts, steps, stage)
    stage.forget()
    train(whole, 9, stage)
    assert parts.network.weight.equal(whole.network.weight)


def test_stage_and_seed_change_what_is_drawn(folder: Path) -> None:
    weights = []
    for stage, seed in (("a", 0), ("b", 0), ("a2", 1)):
        training = Descent()
        train(training, 2, Stage(folder, stage, seed))
        weights.append(training.network.weight.item())
    assert len(set(weights)) == 3


def test_linear_decay() -> None:
    assert [linear_decay(step, 10, 0.5) for step in (0, 4, 5, 6, 9)] == [1, 1, 1, 0.8, 0.2]
    assert [linear_decay(step, 10, 1.0) for step in (0, 9)] == [1, 1]
    assert [linear_decay(step, 4, 0.0) for step in range(4)] == [1, 0.75, 0.5, 0.25]


def test_polynomial_decay() -> None:
    assert [polynomial_decay(step, 4) for step in (0, 2)] == [1, pytest.approx(0.5**0.9)]


def test_learning_rate_reaches_every_group() -> None:
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 1.0} for weight in weights])
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_average_starts_short_and_lengthens() -> None:
    average, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    for step, decay, kept in ((0, 0.99, 0.1), (10, 0.99, 11 / 20), (5000, 0.99, 0.99), (5000, 0.0, 0.0)):
        nn.init.constant_(average.weight, 1.0)
        nn.init.constant_(network.weight, 3.0)
        update_average(average, network, step, decay)
        assert average.weight.item() == pytest.approx(kept * 1 + (1 - kept) * 3)


def test_average_copies_statistics() -> None:
    average, network = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    network(torch.rand(3, 2, 4, 4))
    update_average(average, network, 0, 0.9)
    assert all(mean.equal(value) for mean, value in zip(average.buffers(), network.buffers(), strict=True))


class Seldom(Descent):
    """Of whose batches one alone teaches."""

    def __init__(self, teaching: int) -> None:
        super().__init__()
        self.teaching = teaching

    def step(self, step: int) -> dict[str, float]:
        return super().step(step) if step == self.teaching else {}


@pytest.mark.parametrize("teaching", [0, 3, 6])
def test_one_batch_that_teaches_is_enough_also_before_an_interruption(folder: Path, teaching: int) -> None:
    parts, whole, stage = Seldom(teaching), Seldom(teaching), Stage(folder, "parts")
    if teaching < 4:
        train(parts, 4, stage)
    train(parts, 7, stage)
    stage.forget()
    train(whole, 7, stage)
    assert parts.network.weight.equal(whole.network.weight)


def test_a_training_that_never_taught_is_begun_anew(folder: Path) -> None:
    stage = Stage(folder, "stage")
    with pytest.raises(DataError, match="stage: no pixel of its 4 batches has a class"):
        train(Seldom(9), 4, stage)
    mended = Descent()
    train(mended, 4, stage)
    assert not mended.network.weight.equal(torch.ones(1, 1))
