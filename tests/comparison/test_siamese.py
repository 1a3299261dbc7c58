from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.expected_quality import expected_quality
from synthcp.comparison.failure_loss import FailureLossConfig, failure_loss
from synthcp.comparison.logit_scores import msp_log_odds
from synthcp.comparison.network import ComparisonConfig
from synthcp.comparison.siamese import SiameseNetwork
from synthcp.metrics.overlap import image_iou
from synthcp.nn.labels import one_hot
from synthcp.nn.resnet import ResNet, ResNetConfig
from synthcp.nn.spatial import SpatialDims, resize

PAPER = ComparisonConfig(19)
OFFICIAL = ComparisonConfig(19, shared=False, label_input="squeezed")
FEATURE_DISTANCES = 4
OURS = ComparisonConfig(19, label_input="softmax", uses_uncertainty=True, feature_distances=FEATURE_DISTANCES)


def evidence(classes: int = 3, size: tuple[int, ...] = (32, 40)) -> Evidence:
    generator = torch.Generator().manual_seed(7)
    image, synthesis = (torch.rand(2, 3, *size, generator=generator) for _ in range(2))
    logits = 3 * torch.randn(2, classes, *size, generator=generator)
    return Evidence(image, synthesis, logits, torch.rand(2, FEATURE_DISTANCES, *size, generator=generator))


def toy(config: ComparisonConfig) -> SiameseNetwork:
    torch.manual_seed(0)
    network = SiameseNetwork(2, replace(config, classes=3, width=4, hidden=5)).eval()
    return network.requires_grad_(False)


def judging(config: ComparisonConfig) -> SiameseNetwork:
    """The toy with error heads of its own; those of ours start at zero."""
    network = toy(config)
    for parameter in network.error_heads.parameters():
        torch.nn.init.normal_(parameter)
    return network


def parameters(config: ComparisonConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in SiameseNetwork(2, config).parameters())


def test_the_official_comparator_has_its_parameters() -> None:
    # The release: 22,502,698, of which four biases of 64 channels stand before batch norms (and do nothing), and
    # where one bias stands for the error heads of our four stages.
    assert parameters(OFFICIAL) == 22_502_698 - 4 * 64 + 3


def test_the_official_direct_prediction_has_half_the_parameters() -> None:
    assert parameters(replace(OFFICIAL, branches=1)) == 11_251_882 - 4 * 64 + 3  # the release: 11,251,882, see above


@pytest.mark.parametrize("config", [PAPER, OFFICIAL, OURS], ids=["paper", "official", "ours"])
def test_one_branch_never_looks_at_the_drawing(config: ComparisonConfig) -> None:
    network, seen = judging(replace(config, branches=1)), evidence()
    for mine, other in zip(network(seen), network(replace(seen, synthesis=1 - seen.synthesis)), strict=True):
        assert mine.equal(other)
    assert len(network.encoders) == 1


@pytest.mark.parametrize("direct", [False, True])
def test_what_is_smaller_than_a_patch_is_judged_as_in_training_with_its_border_repeated(direct: bool) -> None:
    small, network = evidence(size=(30, 45)), judging(replace(OURS, patch=(36, 40)))
    small = replace(small, synthesis=None) if direct else small
    image, *others = [F.pad(part, (0, 0, 3, 3), mode="replicate") for part in vars(small).values() if part is not None]
    by_hand = Evidence(image, None, *others) if direct else Evidence(image, *others)
    log_odds, quality = network(small)
    expected_log_odds, expected_quality = judging(OURS)(by_hand)
    assert log_odds.shape == (2, 30, 45) and log_odds.equal(expected_log_odds[:, 3:-3])
    assert quality.equal(expected_quality) and not quality.equal(judging(OURS)(small)[1])


def test_the_papers_comparator_has_one_encoder() -> None:
    encoder = 11_176_512 + 19 * 64 * 7 * 7
    heads = 2 * (64 + 128 + 256 + 512) * 64 + 4 * 2 * 64 + 4 * 65 + (1024 * 19 + 19)
    assert parameters(PAPER) == encoder + heads
    assert parameters(replace(PAPER, shared=False)) == 2 * encoder + heads


def test_fusing_each_stage_then_resizing_verdicts_equals_the_release() -> None:
    """There the fused features are resized and stacked, and one convolution judges the stack."""
    network, seen = toy(PAPER), evidence()
    labels = one_hot(seen.logits.argmax(dim=1), 3)
    sides = [
        network.encoders[0].stages(torch.cat([(x - 0.45) / 0.225, labels], 1)) for x in (seen.image, seen.synthesis)
    ]
    fused = [
        resize(fusion(torch.cat(pair, 1)), (32, 40)) for fusion, *pair in zip(network.fusions, *sides, strict=True)
    ]
    kernel = torch.cat([network.get_parameter(f"error_heads.{stage}.weight") for stage in range(4)], 1)
    bias = torch.stack([network.get_parameter(f"error_heads.{stage}.bias") for stage in range(4)]).sum(0)
    error_log_odds, class_quality = network(seen)
    torch.testing.assert_close(error_log_odds, F.conv2d(torch.cat(fused, 1), kernel, bias)[:, 0])
    pooled = torch.cat([side[-1].mean((2, 3)) for side in sides], 1)
    torch.testing.assert_close(class_quality, network.quality(pooled))


@pytest.mark.parametrize("config", [PAPER, OFFICIAL, OURS])
def test_the_label_input_is_seen(config: ComparisonConfig) -> None:
    network, seen = judging(config), evidence()
    turned = replace(seen, logits=seen.logits.roll(1, dims=1))
    assert not torch.allclose(network(seen)[0], network(turned)[0])
    sharper = replace(seen, logits=2 * seen.logits)
    assert torch.equal(network(seen)[0], network(sharper)[0]) == (config.label_input == "one_hot")


@pytest.mark.parametrize("config", [PAPER, OFFICIAL])
def test_without_doubt_the_disagreement_is_not_seen(config: ComparisonConfig) -> None:
    network, seen = toy(config), evidence()
    blind = network(replace(seen, feature_distances=1 - seen.feature_distances))
    assert all(torch.equal(*pair) for pair in zip(network(seen), blind, strict=True))


@pytest.mark.parametrize("channel", range(FEATURE_DISTANCES))
def test_ours_sees_every_channel_of_the_disagreement_in_both_heads(channel: int) -> None:
    network, seen = toy(OURS), evidence()  # whose only error head is the linear one
    network.get_parameter("uncertainty_head.weight")[0, 3 + channel] = 2.0
    alone, quality = network(seen)
    uncertainty = msp_log_odds(seen.logits).clamp(-10, 10)
    torch.testing.assert_close(alone, uncertainty + 2 * seen.feature_distances[:, channel], atol=1e-5, rtol=1e-5)
    changed = seen.feature_distances.clone()
    changed[:, channel] = 1 - changed[:, channel]
    turned = replace(seen, feature_distances=changed)
    assert not torch.allclose(network(turned)[1], quality)
    stages = judging(OURS)
    stages.get_parameter("uncertainty_head.weight").zero_()
    assert not torch.allclose(stages(turned)[0], stages(seen)[0])


@pytest.mark.parametrize(("spatial_dims", "size"), [(2, (32, 40)), (3, (8, 12, 16))])
def test_ours_starts_as_msp(spatial_dims: SpatialDims, size: tuple[int, ...]) -> None:
    network = SiameseNetwork(spatial_dims, replace(OURS, classes=3, width=4, hidden=5)).eval()
    seen = evidence(size=size)
    seen = replace(seen, logits=3 * seen.logits)
    log_odds = msp_log_odds(seen.logits)
    assert log_odds.min() < -10 and log_odds.max() > -1  # some are clipped
    assert network(seen)[0].equal(10 * (log_odds.clamp(-10, 10) / 10))


def test_ours_adds_the_log_odds_of_msp_to_the_verdicts_of_the_stages() -> None:
    network, seen = judging(OURS), evidence()
    both, _ = network(seen)
    network.get_parameter("uncertainty_head.weight").zero_()
    stages, _ = network(seen)
    torch.testing.assert_close(both - stages, msp_log_odds(seen.logits).clamp(-10, 10), atol=1e-5, rtol=1e-5)
    assert stages.std() > 0.1


@pytest.mark.parametrize("start", [toy, judging])
def test_ours_starts_with_the_iou_to_be_expected(start: Callable[[ComparisonConfig], SiameseNetwork]) -> None:
    network, seen = start(OURS), evidence()
    error_log_odds, class_quality = network(seen)
    expected = expected_quality(seen.logits, error_log_odds.sigmoid())
    torch.testing.assert_close(class_quality, expected.clamp(1e-3, 1 - 1e-3))


@pytest.mark.parametrize("config", [PAPER, OURS])
def test_an_encoder_starts_as_the_trunk_it_is_loaded_from(config: ComparisonConfig) -> None:
    network, seen = toy(config), evidence()
    trunk = ResNet(2, ResNetConfig(width=4, output_stride=8))
    network.load_encoder(trunk.state_dict())
    plain = ResNet(2, ResNetConfig(width=4)).eval()
    plain.load_state_dict(trunk.state_dict())
    image = torch.cat([seen.image, torch.rand(2, 3, 32, 40)], dim=1)
    for features, reference in zip(network.encoders[0](image), plain(seen.image), strict=True):
        torch.testing.assert_close(features, reference)


def random_prediction() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(2, 4, 5, 6, generator=generator)
    logits[0, 3] = -20  # class 3 is predicted in the second image only
    return logits, torch.rand(2, 5, 6, generator=generator)


def test_expected_quality_by_loop() -> None:
    logits, error = random_prediction()
    result = expected_quality(logits, error)
    for image in range(2):
        positive, predicted, true = torch.zeros(4), torch.zeros(4), torch.zeros(4)
        for row in range(5):
            for column in range(6):
                p = logits[image, :, row, column].softmax(0)
                top, e = int(p.argmax()), error[image, row, column]
                for label in range(4):
                    true[label] += 1 - e if label == top else e * p[label] / (1 - p[top])
                positive[top] += 1 - e
                predicted[top] += 1
        torch.testing.assert_close(result[image], positive / (predicted + true - positive))


def test_expected_quality_is_the_ratio_of_the_means_over_drawn_truths() -> None:
    logits, error = random_prediction()
    probabilities = logits[1].softmax(0).flatten(1).T
    predicted = probabilities.argmax(1)
    others = probabilities.scatter(1, predicted[:, None], 0)
    generator = torch.Generator().manual_seed(0)
    swapped = torch.multinomial(others, 20_000, replacement=True, generator=generator).T
    wrong = torch.rand(swapped.shape, generator=generator) < error[1].flatten()
    truths = torch.where(wrong, swapped, predicted)
    for label in range(4):
        hits = ((truths == label) & (predicted == label)).sum(1).double().mean()
        union = ((truths == label) | (predicted == label)).sum(1).double().mean()
        assert expected_quality(logits, error)[1, label].item() == pytest.approx((hits / union).item(), abs=0.01)


def test_expected_quality_of_certain_errors_is_the_iou() -> None:
    truth = torch.randint(4, (1, 5, 6), generator=torch.Generator().manual_seed(1))
    guess = torch.randint(4, (1, 5, 6), generator=torch.Generator().manual_seed(2))
    logits = 30 * one_hot(guess, 4) + 10 * one_hot(truth, 4)  # where wrong, the truth comes second
    result = expected_quality(logits.double(), (truth != guess).float())
    torch.testing.assert_close(result[0].double(), image_iou(truth[0], guess[0], 4, 255), atol=1e-5, rtol=1e-5)


def test_expected_dice_of_certain_errors_is_the_dice_with_one_more_voxel_on_both_sides() -> None:
    truth = torch.randint(3, (1, 5, 6, 7), generator=torch.Generator().manual_seed(1))
    guess = torch.randint(3, (1, 5, 6, 7), generator=torch.Generator().manual_seed(2))
    logits = 30 * one_hot(guess, 4) + 10 * one_hot(truth, 4)
    result = expected_quality(logits.double(), (truth != guess).float(), "Dice")[0].tolist()
    for label in range(3):
        hits = int(((truth == label) & (guess == label)).sum())
        sizes = int((truth == label).sum() + (guess == label).sum())
        assert result[label] == pytest.approx((2 * hits + 1) / (sizes + 1), abs=1e-4)
    assert result[3] == pytest.approx(1, abs=1e-2)  # nothing is predicted, nothing is expected


VARIANTS = {
    "paper": FailureLossConfig(),
    "official": FailureLossConfig(smooth=True, weighted=True, present_only=True),
    "ours": FailureLossConfig(present_only=True),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_failure_loss_by_loop(variant: str) -> None:
    config = VARIANTS[variant]
    generator = torch.Generator().manual_seed(5)
    log_odds = 2 * torch.randn(2, 3, 4, generator=generator)
    logits = 2 * torch.randn(2, 5, 3, 4, generator=generator)
    error = torch.randint(2, (2, 3, 4), generator=generator).float()
    error[0, 0], error[1, 2, 1] = torch.nan, torch.nan
    quality, iou = 3 * torch.randn(2, 5, generator=generator), torch.rand(2, 5, generator=generator)
    iou[0, 1], iou[1, 4] = torch.nan, torch.nan

    pixel, known = 0.0, 0
    for place in [(b, h, w) for b in range(2) for h in range(3) for w in range(4) if not error[b, h, w].isnan()]:
        chance = log_odds[place].sigmoid()
        entropy = -(chance if error[place] == 1 else 1 - chance).log()
        msp = logits[place[0], :, place[1], place[2]].softmax(0).max()
        pixel += float(entropy * (msp**2 if config.weighted else 1))
        known += 1
    distances = [abs(float(quality[b, k] - iou[b, k])) for b in range(2) for k in range(5) if not iou[b, k].isnan()]
    if config.smooth:
        distances = [0.5 * d**2 if d < 1 else d - 0.5 for d in distances]
    pixels, count = 24 if config.weighted else known, 10 if config.present_only else 8

    terms = failure_loss(log_odds, quality, error, iou, logits, config)
    assert [term.item() for term in terms] == pytest.approx([pixel / pixels, sum(distances) / count], rel=1e-5)
    assert known == 19 and len(distances) == 8
    separate = failure_loss(log_odds, quality, error, iou, logits, replace(config, pixel=0.0, quality=2.0))
    assert separate[0].item() == 0 and separate[1].item() == pytest.approx(2 * sum(distances) / count, rel=1e-5)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_failure_loss_of_nothing_is_zero_with_zero_gradient(config: FailureLossConfig) -> None:
    log_odds = torch.zeros(1, 2, 2, requires_grad=True)
    quality = torch.zeros(1, 3, requires_grad=True)
    nothing = torch.full((1, 2, 2), torch.nan), torch.full((1, 3), torch.nan)
    pixel, distance = failure_loss(log_odds, quality, *nothing, torch.zeros(1, 3, 2, 2), config)
    assert pixel.item() == distance.item() == 0
    for slope in torch.autograd.grad(pixel + distance, (log_odds, quality)):
        assert slope.isfinite().all() and slope.count_nonzero() == 0
