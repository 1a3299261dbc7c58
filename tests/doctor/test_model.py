from __future__ import annotations

import inspect
import itertools
from dataclasses import replace
from functools import partial

import pytest
import torch

from synthcp.doctor.base import attempt
from synthcp.doctor.model import NEAR_CHANCE, above_chance, best_order, chance_iou, check_model, try_model
from synthcp.errors import InputError
from synthcp.metrics.overlap import confusion_matrix, mean_iou
from synthcp.segmentation.adapters import adapt
from synthcp.segmentation.loaded import LoadedNetwork
from synthcp.segmentation.settings import ModelSettings
from synthcp.system.runtime import Runtime

HERE = Runtime(torch.device("cpu"))


@pytest.fixture
def dataset(held, sample):
    """Ten images with all four classes, in other shares each."""
    return held([sample(f"{n}", *[1] * (n % 3 + 2), *[2] * (n % 4 + 1), *[3] * (n % 2 + 2), 255) for n in range(10)])


@pytest.fixture
def check(dataset, seer, findings, monkeypatch):
    """Findings of a model by name: of one that is given, or of one with these answers."""

    def check(answer, layers=(), images=dataset, spec="held:model"):
        predictor = seer(answer, layers) if inspect.isfunction(answer) else answer
        opened = predictor, ModelSettings(spec, layers=len(layers))
        monkeypatch.setattr("synthcp.doctor.model.open_model", lambda *_: opened)
        return findings(partial(attempt, "model", check_model), images, model=spec)

    return check


def right(one_hot):
    return 6 * one_hot - 2


def test_a_model_that_is_right(check):
    found = check(right, [torch.zeros(1, 5, 4, 5), torch.zeros(1, 7, 2, 3)])
    assert {finding.state for finding in found.values()} == {"good"}
    assert found["model"].what == "held:model: a live network" and found["class count"].what == "4, as the data"
    assert found["logits"].what == "-2.00 to 4.00" and found["features"].what == "2 layers, the last 7x2x3"
    assert found["mIoU"].what.startswith("100.0% on 8 images; blind guesses would reach ")
    assert float(found["speed"].what.split()[0]) >= 0


@pytest.mark.parametrize(
    ("answer", "name", "state", "what", "remedy"),
    [
        (lambda seen: torch.cat([seen, seen[:, :1]], 1), "class count", "bad", "5 classes, the data 4", "train it"),
        (  # 11 of the 16 rows of the first image show class 0
            *(lambda seen: torch.where(seen[:, :1] > 0, torch.nan, seen), "logits", "bad"),
            *("68.75% are NaN or infinite", "fp32"),
        ),
        (lambda seen: torch.zeros_like(seen), "logits", "bad", "all are 0", "weights"),
        (lambda seen: right(seen).softmax(1), "logits", "bad", "these are probabilities", "the logarithm"),
        (lambda seen: right(seen).log_softmax(1), "logits", "good", "-6.01 to -0.01", ""),
        (lambda seen: seen + 0.5, "logits", "good", "0.50 to 1.50", ""),
        (lambda seen: right(seen).sigmoid() * 0.9, "logits", "good", "0.11 to 0.88", ""),
        (right, "features", "note", "no anomaly map", "live model"),
        (  # its class 0 is car, 1 sky, 2 road
            *(lambda seen: right(seen)[:, [2, 0, 1, 3]], "mIoU", "bad", "other class order 100.0%"),
            "reorder its classes: car is its 0, sky is its 1, road is its 2",
        ),
        (lambda seen: 0 * seen + torch.eye(4)[1].view(1, 4, 1, 1), "mIoU", "bad", "near chance", "mean and std"),
    ],
)
def test_what_is_wrong_with_a_model_is_told(check, answer, name, state, what, remedy):
    found = check(answer)
    assert found[name].state == state and what in found[name].what
    assert remedy in found[name].remedy and bool(remedy) == bool(found[name].remedy)
    assert ("mIoU" in found) == (name != "class count")


def test_without_labels_there_is_no_miou(check, held, sample):
    bare = held([replace(sample("a", 1), label_map=None), replace(sample("b", 1), label_map=None)])
    assert {"mIoU", "speed"} & set(check(right, images=bare)) == {"speed"}


def test_a_model_that_breaks_is_one_line(check, seer):
    class Fails(seer):
        def predict(self, sample_id, image):
            raise RuntimeError("size mismatch\nexpected 4")

    assert check(Fails(right))["model"].what == "RuntimeError: size mismatch expected 4"


def test_a_model_that_does_not_open_is_an_error(dataset, findings):
    with pytest.raises(InputError):
        findings(check_model, dataset, model="no-such:model")


def test_predictions_on_disk_are_found_by_id(check, seer):
    asked = []

    class Saved:
        def predict(self, sample_id, image):
            asked.append(sample_id)
            return seer(right)(image)

    assert check(Saved(), spec="preds:DIR")["model"].what == "preds:DIR: predictions on disk"
    assert asked == ["0", "1", "2", "3", "5", "6", "7", "8"]


def test_the_confusion_is_summed_over_the_images(dataset, seer):
    trial = try_model(seer(lambda one_hot: right(one_hot)[:, [0, 2, 1, 3]]), dataset, HERE)
    truth = torch.stack([dataset[index].label_map for index in (0, 1, 2, 3, 5, 6, 7, 8)])
    predicted = truth.where(truth < 4, 0)
    predicted = torch.tensor([0, 2, 1, 3])[predicted]
    assert trial.labelled == 8 and trial.confusion.equal(confusion_matrix(truth, predicted, 4, 255))


def test_chance_is_what_shuffled_predictions_reach():
    generator = torch.Generator().manual_seed(0)
    truth = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), 40_000, replacement=True, generator=generator)
    predicted = torch.multinomial(torch.tensor([0.2, 0.3, 0.5]), 40_000, replacement=True, generator=generator)
    best = truth.where(truth != 2, 1)
    for guesses in (predicted, best):
        chance = chance_iou(confusion_matrix(truth, guesses, 3, 255))
        shuffled = guesses[torch.randperm(40_000, generator=generator)]
        assert chance == pytest.approx(mean_iou(confusion_matrix(truth, shuffled, 3, 255)), abs=0.005)


def test_a_constant_guess_is_exactly_at_chance():
    confusion = torch.tensor([[0, 70, 0], [0, 20, 0], [0, 10, 0]])
    assert chance_iou(confusion) == pytest.approx(mean_iou(confusion)) == pytest.approx(0.2 / 3)
    assert above_chance(mean_iou(confusion), chance_iou(confusion)) == pytest.approx(0) and NEAR_CHANCE > 0
    assert above_chance(1.0, 0.4) == 1 and above_chance(0.7, 0.4) == pytest.approx(0.5) and above_chance(1, 1) == 1


def test_the_best_order_is_the_best_of_all():
    confusion = torch.randint(0, 100, (4, 4), generator=torch.Generator().manual_seed(3))
    scores = {}
    for order in itertools.permutations(range(4)):  # channel k is class order[k]
        reordered = torch.empty_like(confusion)
        for channel, label in enumerate(order):
            reordered[:, label] = confusion[:, channel]
        scores[order] = mean_iou(reordered)
    order, score = best_order(confusion)
    assert tuple(order) == max(scores, key=scores.get) and score == pytest.approx(max(scores.values()))
    assert tuple(order) != (0, 1, 2, 3)


def test_a_model_that_sees_another_size_is_judged_at_that_of_the_labels(dataset, seer):
    class Twice:
        def predict(self, sample_id, image):
            prediction = seer(right)(image)
            return replace(prediction, logits=prediction.logits.repeat_interleave(2, 2).repeat_interleave(2, 3))

    assert mean_iou(try_model(Twice(), dataset, HERE).confusion) > 0.8


@pytest.mark.parametrize(
    ("inverse", "option"),
    [
        (lambda image: image, ""),
        (lambda image: image / 255, "mean=0&std=0.00392157"),
        (lambda image: (image + 1) / 2, "mean=0.5&std=0.5"),
        (lambda image: image * 0.229 + 0.485, "mean=0.485,0.456,0.406&std=0.229,0.224,0.225"),
    ],
)
def test_a_model_that_wants_to_be_fed_otherwise_is_told_how(inverse, option, dataset, check):
    def network(image):
        """Right on what its maker's code would show it; class k has the value k / 10 in the first channel."""
        return torch.cat([1 - (10 * inverse(image)[:, :1] - label).square() for label in range(4)], dim=1)

    found = check(adapt(LoadedNetwork(network), dataset.classes, dataset[0].image[None]))["feeding"]
    assert found.state == ("bad" if option else "good")
    assert found.remedy == (f"add ?{option} to its SPEC" if option else "")
    assert not option or f"100.0% with {option}" in found.what


def test_without_labels_nobody_can_tell_how_a_model_wants_to_be_fed(dataset, held, check):
    unlabelled = held([replace(sample, label_map=None) for sample in dataset])
    segmenter = adapt(
        LoadedNetwork(lambda image: image.repeat(1, 2, 1, 1)[:, :4] - 0.5), dataset.classes, dataset[0].image[None]
    )
    mean = segmenter.mean
    assert check(segmenter, images=unlabelled)["feeding"].state == "note" and segmenter.mean is mean
