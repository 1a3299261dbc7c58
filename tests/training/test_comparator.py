from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from synthcp.comparison.blend import fit_blend
from synthcp.comparison.direct_prediction import DirectPrediction
from synthcp.comparison.evidence import Evidence
from synthcp.comparison.failure import FailureComparator
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.comparison.logit_scores import msp_log_odds
from synthcp.comparison.network import ComparisonConfig
from synthcp.comparison.siamese import SiameseNetwork
from synthcp.data.base import Dataset
from synthcp.nn.labels import one_hot
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator
from synthcp.system.runtime import Runtime
from synthcp.training.comparator import (
    DIRECT,
    ComparatorConfig,
    ComparatorTraining,
    ImperfectExamples,
    failure_targets,
    fit_score,
)
from synthcp.training.imperfect_predictions import ImperfectPrediction, ImperfectPredictions, Synthesizer


@pytest.fixture
def examples(toy: Callable[..., Dataset], tmp_path: Path) -> ImperfectExamples:
    """Predictions that are right (up to noise in the confidence), syntheses equal to the images at half the light."""
    dataset, imperfect = toy(4), ImperfectPredictions(tmp_path)
    for index in range(4):
        sample = dataset[index]
        assert sample.label_map is not None
        layout = one_hot(sample.label_map[None], 3)[0]
        noise = torch.rand(layout.shape, generator=torch.Generator().manual_seed(index))
        halved, distance = {"dark": sample.image / 2}, {"dark": sample.image.flip(0)}  # as of two layers
        imperfect.write("last", index, ImperfectPrediction(5 * layout + noise, halved, distance))
        imperfect.write("early", index, ImperfectPrediction(2 * layout + noise, halved, distance))
    return ImperfectExamples(dataset, imperfect, ("early", "last"), (0, 1, 3), "dark")


@pytest.mark.parametrize("present_only", [True, False])
def test_targets_by_loop(present_only: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    label_maps = torch.randint(3, (3, 4, 5), generator=generator)  # class 3 is never true, 4 never predicted
    label_maps[label_maps == 2] = 4
    label_maps[:, 0] = 255
    logits = torch.randn(3, 5, 4, 5, generator=generator)
    logits[:, 4] = -9
    logits[2, 3] = -9
    error, iou = failure_targets(logits, label_maps, 5, 255, present_only=present_only)
    predicted = logits.argmax(1)
    for image in range(3):
        known = label_maps[image] != 255
        assert error[image].isnan().equal(~known)
        assert error[image][known].equal((predicted[image] != label_maps[image])[known].float())
        for label in range(5):
            true, guess = (label_maps[image] == label) & known, (predicted[image] == label) & known
            judged = bool(true.any()) or (not present_only and bool(guess.any()))
            expected = float((true & guess).sum() / (true | guess).sum()) if judged else float("nan")
            assert iou[image, label].item() == pytest.approx(expected, nan_ok=True)
    assert iou[0, 3].isnan() == present_only and iou[2, 3].isnan() and iou[0, 4] == 0


def test_a_drawing_is_read_by_its_name(examples: ImperfectExamples) -> None:
    evidence, label_map = examples.read("last", 1)
    sample = examples.dataset[1]
    assert sample.label_map is not None and label_map.equal(sample.label_map)
    torch.testing.assert_close(evidence.synthesis, sample.image / 2, atol=0.51 / 255, rtol=0)
    torch.testing.assert_close(evidence.feature_distances, sample.image.flip(0), atol=1e-3, rtol=0)
    assert evidence.image.equal(sample.image)


def test_direct_shows_the_image_in_the_drawings_place(examples: ImperfectExamples) -> None:
    direct = ImperfectExamples(examples.dataset, examples.predictions, ("last",), (0,), DIRECT)
    evidence, _ = direct.read("last", 0)
    assert evidence.synthesis is None and evidence.feature_distances.equal(torch.zeros(3, 32, 40))


class Watched(SiameseNetwork):
    """Keeps the evidence it was shown."""

    def forward(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        self.evidence = evidence
        return super().forward(evidence)


def test_the_parts_of_a_batch_stay_aligned(examples: ImperfectExamples, cpu: Runtime) -> None:
    torch.manual_seed(0)
    config = ComparatorConfig(steps=5, batch=6, zoom=(1.0, 1.0), jitter=0.0)
    network = Watched(2, ComparisonConfig(3, width=4, hidden=4))
    training = ComparatorTraining(network, examples, config, cpu, seed=0)
    losses = [training.step(step) for step in range(2)]
    evidence = network.evidence
    torch.testing.assert_close(evidence.synthesis, evidence.image / 2, atol=0.51 / 255, rtol=0)
    torch.testing.assert_close(evidence.feature_distances, evidence.image.flip(1), atol=1e-3, rtol=0)
    colors = torch.tensor(examples.dataset.classes.colors) / 255
    nearest = torch.cdist(evidence.image.movedim(1, -1), colors.expand(6, 32, -1, -1)).argmin(-1)
    agree = (evidence.logits.argmax(1) == nearest)[:, 1:].float().mean()
    assert agree > 0.99 and losses[0] != losses[1]


def test_an_example_smaller_than_a_patch_is_padded_with_nothing_to_learn(
    examples: ImperfectExamples, cpu: Runtime
) -> None:
    height, width = examples.dataset[0].image.shape[1:]
    examples.dataset.patch = (height + 4, width + 2)
    config = ComparatorConfig(steps=5, batch=2, zoom=(1.0, 1.0), jitter=0.0)
    network = Watched(2, ComparisonConfig(3, width=4, hidden=4))
    training = ComparatorTraining(network, examples, config, cpu, seed=0)
    training.step(0)
    batch = training._batch(torch.Generator().manual_seed(0))
    evidence, label_maps = batch.shown, batch.label_maps
    assert evidence.logits.shape[2:] == label_maps.shape[1:] == examples.dataset.patch
    inside = (slice(None), slice(2, -2), slice(1, -1))
    assert (label_maps != 255)[inside].float().mean() > 0.8
    label_maps[inside] = 255
    assert (label_maps == 255).all()
    assert evidence.image[:, :, 0].equal(evidence.image[:, :, 2])
    assert evidence.feature_distances[:, :, :, -1].equal(evidence.feature_distances[:, :, :, -2])


def test_direct_sees_no_synthesis(examples: ImperfectExamples, cpu: Runtime) -> None:
    direct = ImperfectExamples(examples.dataset, examples.predictions, ("last",), (0, 1), DIRECT)
    network = Watched(2, ComparisonConfig(3, width=4, hidden=4))
    ComparatorTraining(network, direct, ComparatorConfig(steps=5, batch=3, jitter=0.5), cpu, seed=0).step(0)
    assert network.evidence.synthesis is None
    assert network.evidence.feature_distances.count_nonzero() == 0


def test_direct_prediction_sees_at_test_what_it_saw_in_training(
    toy: Callable[..., Dataset], tmp_path: Path, cpu: Runtime
) -> None:
    torch.manual_seed(0)
    dataset, imperfect = toy(2), ImperfectPredictions(tmp_path)
    segmenter = DeepLab(2, DeepLabConfig(classes=3, width=4)).eval().requires_grad_(False)
    generator = SpadeGenerator(2, SpadeConfig(3, width=4, hidden=4, multipliers=(2, 1))).eval()
    image = dataset[1].image
    prediction = segmenter(image[None])
    imperfect.write("last", 1, Synthesizer(segmenter, {"synthcp": generator}, cpu)(image, prediction))
    trained, _ = ImperfectExamples(dataset, imperfect, ("last",), (1,), DIRECT).read("last", 1)

    config = ComparisonConfig(3, width=4, hidden=4, label_input="softmax", uses_uncertainty=True)
    network = Watched(2, config).eval().requires_grad_(False)
    DirectPrediction(FailureComparator(network, FeatureDistance(segmenter)))(image[None], prediction)
    tested = network.evidence
    assert tested.image[0].equal(trained.image) and tested.synthesis is trained.synthesis is None
    torch.testing.assert_close(tested.logits[0], trained.logits, atol=1e-3, rtol=1e-3)
    assert tested.feature_distances[0].equal(trained.feature_distances)
    assert prediction.confidence.max() < 0.99  # 1 - MSP in a channel of one of them alone would show


def test_a_degraded_view_is_compared_with_its_own_image(
    toy: Callable[..., Dataset], tmp_path: Path, cpu: Runtime
) -> None:
    dataset, imperfect = toy(2), ImperfectPredictions(tmp_path)
    segmenter = DeepLab(2, DeepLabConfig(classes=3, width=4)).eval().requires_grad_(False)
    generator = SpadeGenerator(2, SpadeConfig(3, width=4, hidden=4, multipliers=(2, 1))).eval()
    worn = dataset[1].image / 2
    synthesizer = Synthesizer(segmenter, {"synthcp": generator}, cpu)
    imperfect.write("worn", 1, synthesizer(worn, segmenter(worn[None]), keep_image=True))
    for synthesis in ("synthcp", DIRECT):
        evidence, label_map = ImperfectExamples(dataset, imperfect, ("worn",), (1,), synthesis).read("worn", 1)
        torch.testing.assert_close(evidence.image, worn, atol=0.51 / 255, rtol=0)
        assert label_map.equal(torch.as_tensor(dataset[1].label_map))
    assert evidence.synthesis is None


def test_volumes_are_judged_by_dice() -> None:
    logits = torch.tensor([[5.0, 5, -5, -5], [-5, -5, 5, 5], [-9, -9, -9, -9]]).reshape(1, 3, 2, 2, 1)
    label_maps = torch.tensor([0, 1, 1, 255]).reshape(1, 2, 2, 1)
    _, dice = failure_targets(logits, label_maps, 3, 255, measure="Dice")
    _, iou = failure_targets(logits, label_maps, 3, 255)
    assert dice[0].tolist() == pytest.approx([2 / 3, 2 / 3, 1])
    assert iou[0, :2].tolist() == pytest.approx([1 / 2, 1 / 2]) and iou[0, 2].isnan()


def test_training_lowers_both_terms(examples: ImperfectExamples, cpu: Runtime) -> None:
    torch.manual_seed(0)
    network = SiameseNetwork(2, ComparisonConfig(3, width=4, hidden=4))
    training = ComparatorTraining(network, examples, ComparatorConfig(steps=30, learning_rate=5e-3), cpu, seed=0)
    losses = [training.step(step) for step in range(30)]
    for name in ("pixel", "quality"):
        assert sum(loss[name] for loss in losses[-5:]) < 0.7 * sum(loss[name] for loss in losses[:5])


class Light(nn.Module):
    """Says that bright pixels are wrong."""

    def forward(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        return 4 * evidence.image[:, 0] - 2, torch.zeros(len(evidence.image), 3)


def test_the_score_is_fitted_on_known_pixels_of_the_images_kept_aside(
    examples: ImperfectExamples, cpu: Runtime
) -> None:
    dataset = examples.dataset
    aside = ImperfectExamples(dataset, examples.predictions, ("early",), (2,), "dark")
    sample = dataset[2]
    assert sample.label_map is not None
    kept = aside.predictions.read("early", 2)
    logits = kept.logits.roll(5, dims=2)  # some predictions are wrong now
    aside.predictions.write("early", 2, replace(kept, logits=logits))
    blend = fit_score(Light(), aside, cpu, seed=0, pixels=10_000)  # type: ignore[arg-type]
    known = sample.label_map != 255
    error = (logits.argmax(0) != sample.label_map).float()
    expected = fit_blend((4 * sample.image[0] - 2)[known], msp_log_odds(logits[None])[0][known], error[known])
    assert 0 < error[known].mean() < 1
    found = (blend.failure, blend.uncertainty, blend.bias)
    assert found == pytest.approx((expected.failure, expected.uncertainty, expected.bias))
    few = fit_score(Light(), aside, cpu, seed=0, pixels=50)  # type: ignore[arg-type]
    assert few != blend and few == fit_score(Light(), aside, cpu, seed=0, pixels=50)  # type: ignore[arg-type]
