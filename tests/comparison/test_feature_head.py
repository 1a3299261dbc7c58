from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.expected_quality import expected_quality
from synthcp.comparison.feature_head import CELL, HEADS, FeatureHead, perceptual_distance, said_of
from synthcp.comparison.logit_scores import msp_log_odds, uncertainty
from synthcp.comparison.network import ComparisonConfig
from synthcp.nn.resnet import ResNet, ResNetConfig
from synthcp.nn.spatial import SpatialDims, cell_means

CONFIG = ComparisonConfig(3, width=4, hidden=5, uses_uncertainty=True, feature_distances=2)
SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (32, 40), 3: (16, 24, 20)}


def head(dims: SpatialDims = 2, config: ComparisonConfig = CONFIG, *, fresh: bool = False) -> FeatureHead:
    torch.manual_seed(0)
    network = FeatureHead(dims, config).eval()
    network.whitening.fit(list(network.expected(network.features(evidence(dims).image))))
    for one in () if fresh else network.heads:
        for parameter in (*one.get_submodule("leave").parameters(), *one.get_submodule("quality").parameters()):
            torch.nn.init.normal_(parameter)
    return network


def evidence(dims: SpatialDims = 2) -> Evidence:
    generator, size = torch.Generator().manual_seed(7), SIZES[dims]
    image, synthesis = (torch.rand(2, 3, *size, generator=generator) for _ in range(2))
    logits = 3 * torch.randn(2, 3, *size, generator=generator)
    return Evidence(image, synthesis, logits, torch.rand(2, 2, *size, generator=generator))


@pytest.mark.parametrize("dims", [2, 3])
@torch.no_grad()
def test_it_starts_as_msp_and_with_the_quality_to_be_expected(dims: SpatialDims) -> None:
    shown = evidence(dims)
    log_odds, quality = head(dims, fresh=True)(shown)
    msp = msp_log_odds(shown.logits)
    torch.testing.assert_close(log_odds, msp.clamp(-10, 10))
    expected = expected_quality(shown.logits, log_odds.sigmoid()).clamp(1e-3, 1 - 1e-3)
    torch.testing.assert_close(quality, expected)


@torch.no_grad()
def test_without_uncertainty_it_knows_the_classes_alone() -> None:
    shown, network = evidence(), head(config=replace(CONFIG, uses_uncertainty=False))
    surer = replace(shown, logits=4 * shown.logits)  # the same y_hat
    assert network(shown)[0].equal(network(surer)[0])
    assert not network(shown)[0].equal(network(replace(shown, logits=shown.logits.flip(1)))[0])


@torch.no_grad()
def test_a_synthesis_that_is_the_image_differs_in_nothing() -> None:
    network, shown = head(), replace(evidence(), feature_distances=torch.zeros(2, 2, 32, 40))
    same, none = replace(shown, synthesis=shown.image), replace(shown, synthesis=None)
    torch.testing.assert_close(network(same), network(none))
    assert (network(shown)[0] - network(none)[0]).abs().max() > 0.01


@torch.no_grad()
def test_what_differs_is_found_where_it_is() -> None:
    network, shown = head(), evidence()
    synthesis = shown.image.clone()
    synthesis[..., :8] = 1 - synthesis[..., :8]
    features = network.features(shown.image)
    finest = network.differences(replace(shown, synthesis=synthesis), features)[:, 0]
    assert finest.shape == (2, 32 // CELL, 40 // CELL)
    assert finest[..., :1].min() > 0 and finest[..., -2:].max() < 1e-6


def test_distances_of_features_are_those_of_unit_vectors() -> None:
    first = torch.tensor([[3.0, 4.0], [0.0, 2.0], [5.0, 0.0]]).T[None, :, None]  # (1, 2, 1, 3)
    second = torch.tensor([[6.0, 8.0], [2.0, 0.0], [-1.0, 0.0]]).T[None, :, None]
    torch.testing.assert_close(perceptual_distance(first, second), torch.tensor([[[[0.0, 2.0, 4.0]]]]))


def test_what_m_says_is_told_of_every_pixel() -> None:
    logits = torch.zeros(1, 2, 4, 4)
    logits[:, 1, :, :1] = 2.0  # class 1 in the first of four columns
    doubts = uncertainty(logits)
    said = said_of(logits, doubts)
    assert said.shape == (1, 2 + 2 + 3, 4, 4)
    torch.testing.assert_close(said[:, 2:4], logits.softmax(dim=1))
    torch.testing.assert_close(said[:, 4:], doubts)
    shares = cell_means(said, (1, 1))[0, :2, 0, 0]
    torch.testing.assert_close(shares, torch.tensor([0.75, 0.25]))
    assert said_of(logits, doubts[:, :0]).shape == (1, 2, 4, 4)


@torch.no_grad()
def test_several_heads_vote_and_the_mean_counts() -> None:
    network, shown = head(), evidence()
    features = network.features(shown.image)
    votes, quality = network.judge(network.seen(features, network.differences(shown, features)), shown.logits)
    assert len(votes) == HEADS and not votes[0].equal(votes[1])
    log_odds, judged = network(shown)
    torch.testing.assert_close(log_odds, sum(votes, torch.zeros(())) / HEADS)
    corrected = torch.logit(judged) - torch.logit(expected_quality(shown.logits, log_odds.sigmoid()), eps=1e-3)
    assert judged.equal(quality) and corrected.abs().max() > 0.01


@torch.no_grad()
def test_the_trunk_sees_an_enlarged_picture_where_it_was_published_on_larger_ones() -> None:
    network, image = head(), evidence().image
    seen = network.features(image)
    large = F.interpolate(image, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(seen, network.trunk(large)[1:])  # strides 8, 16 and 32
    assert [tuple(part.shape[2:]) for part in seen] == [(8, 10), (4, 5), (2, 3)]


@torch.no_grad()
def test_the_heads_see_the_finer_maps_and_the_syntheses_expect_the_coarser_ones() -> None:
    network, image = head(), evidence().image
    fine, middle, coarse = network.features(image)
    seen = network.seen([fine, middle, coarse], torch.ones(2, 1, 8, 10))
    whole = [F.interpolate(part, (8, 10), mode="bilinear") for part in (fine, middle, coarse)]
    torch.testing.assert_close(seen, torch.cat([*whole[:2], torch.ones(2, 1, 8, 10)], dim=1))
    torch.testing.assert_close(network.expected([fine, middle, coarse]), torch.cat(whole[1:], dim=1))


def test_the_trunk_never_learns() -> None:
    network = head().train()
    assert not network.trunk.training and network.heads.training
    before = {name: value.clone() for name, value in network.trunk.state_dict().items()}
    network(evidence())[0].sum().backward()
    assert all(parameter.grad is None for parameter in network.trunk.parameters())
    assert all(value.equal(before[name]) for name, value in network.trunk.state_dict().items())
    assert all(parameter.grad is not None for parameter in network.heads.get_submodule("0.leave").parameters())


@torch.no_grad()
def test_its_trunk_is_the_one_it_is_loaded_from() -> None:
    torch.manual_seed(3)
    trunk, network, image = ResNet(2, ResNetConfig(3, 18, 4)).eval(), head(), evidence().image
    network.load_encoder(trunk.state_dict())
    maps = trunk(F.interpolate(image, scale_factor=2, mode="bilinear"))[1:]
    torch.testing.assert_close(network.features(image), maps)
    torch.testing.assert_close(network.embed(image, evidence().logits), maps[-1].mean(dim=(2, 3)))


@torch.no_grad()
def test_what_is_smaller_than_a_patch_is_shown_with_its_border_repeated() -> None:
    shown = evidence()
    small = shown.mapped(lambda part: part[..., 4:-4, 8:-8])
    network, plain = head(config=replace(CONFIG, patch=(32, 40))), head()
    whole = plain.judged(small.at_least((32, 40)))
    log_odds, quality, surprise = network.judged(small)
    torch.testing.assert_close(log_odds, whole[0][:, 4:-4, 8:-8])
    torch.testing.assert_close(quality, whole[1])
    assert whole.surprise is not None and surprise is not None
    torch.testing.assert_close(surprise, whole.surprise[:, 4:-4, 8:-8])
