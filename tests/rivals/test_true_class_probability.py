from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.data.base import Dataset
from synthcp.errors import ShapeError
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Prediction
from synthcp.rivals.true_class_probability import (
    ConfidenceConfig,
    ConfidenceHead,
    ConfidenceNetwork,
    ConfidenceTraining,
    ConfidenceTrainingConfig,
    TrueClassProbability,
    confidence_loss,
    confidence_targets,
)
from synthcp.segmentation.base import Segmenter, at_size
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig
from synthcp.segmentation.input_size import InputSize
from synthcp.segmentation.pspnet import PSPNet, PSPNetConfig
from synthcp.system.runtime import Runtime, generator_of
from synthcp.training.batches import labelled_batch
from synthcp.training.segmentation import SegmentationConfig, SegmentationTraining

SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (32, 41), 3: (9, 12, 17)}
SMALL = ConfidenceConfig(fused=3, widths=(5, 4))


def deeplab(dims: SpatialDims, input_size: InputSize | None = None) -> Segmenter:
    torch.manual_seed(0)
    return DeepLab(dims, DeepLabConfig(4, width=4, rates=(1, 2), dropout=0.5), input_size)


def pspnet(dims: SpatialDims) -> Segmenter:
    return PSPNet(dims, PSPNetConfig(4, depth=18, width=4, pyramid=(1,), hidden=5))


def image_of(dims: SpatialDims, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, *SIZES[dims], generator=torch.Generator().manual_seed(1))


def block_by_hand(block: nn.Module, features: Tensor) -> Tensor:
    assert isinstance(block, nn.Sequential)
    convolution, norm, _ = block
    convolve = F.conv2d if features.ndim == 4 else F.conv3d
    features = convolve(features, convolution.weight, padding=convolution.weight.shape[-1] // 2)
    return F.batch_norm(features, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu()


def resized(features: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(features, tuple(size), mode="bilinear" if features.ndim == 4 else "trilinear")


@pytest.mark.parametrize("dims", [2, 3])
def test_the_head_by_hand(dims: SpatialDims) -> None:
    torch.manual_seed(0)
    largest, size = (6, 9, 7)[:dims], SIZES[dims]
    layers = [torch.rand(2, 3, *(3, 5, 4)[:dims]), torch.rand(2, 2, *largest), torch.rand(2, 4, *(2, 2, 3)[:dims])]
    head = ConfidenceHead(dims, (3, 2, 4), SMALL)
    for _ in range(3):
        head([3 * layer + 1 for layer in layers], size)  # the norms see statistics of their own
    confidence = head.eval()(layers, size)
    parts = [resized(block_by_hand(*pair), largest) for pair in zip(head.fusions, layers, strict=True)]
    features = block_by_hand(head.convolutions[0], torch.cat(parts, dim=1))
    features = block_by_hand(head.head[0], resized(features, size))
    last = head.head[1]
    log_odds = (F.conv2d if dims == 2 else F.conv3d)(features, last.weight, last.bias, padding=1)
    torch.testing.assert_close(confidence, log_odds[:, 0].sigmoid())
    assert confidence.std() > 1e-4


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("make", "layers"), [(deeplab, 4), (pspnet, 6)])
def test_any_segmenter_will_do(make: type[Segmenter], layers: int, dims: SpatialDims) -> None:
    segmenter, image = make(dims), image_of(dims)
    network = ConfidenceNetwork(segmenter, image[:1], SMALL).eval()
    assert len(network.head.fusions) == layers
    expected = network.head(segmenter.eval()(image).layers, SIZES[dims])
    torch.testing.assert_close(network(image), expected)
    assert network(image).shape == (2, *SIZES[dims])


@pytest.mark.parametrize("dims", [2, 3])
def test_the_encoder_is_a_copy_at_rest(dims: SpatialDims) -> None:
    segmenter, image = deeplab(dims).requires_grad_(False), image_of(dims)
    network = ConfidenceNetwork(segmenter, image, SMALL).train()
    assert segmenter.training and network.head.training  # as they were
    assert not any(module.training for module in network.encoder.modules())
    before = {key: value.clone() for key, value in segmenter.state_dict().items()}
    network(image).sum().backward()
    gradients = [parameter.grad for parameter in network.encoder.trunk.parameters()]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    for parameter in network.encoder.parameters():
        parameter.data += 1
    assert all(value.equal(before[key]) for key, value in segmenter.state_dict().items())
    statistics = {key: value for key, value in network.encoder.state_dict().items() if "running" in key}
    assert statistics and all(value.equal(before[key]) for key, value in statistics.items())


@pytest.mark.parametrize("dims", [2, 3])
@torch.no_grad()
def test_the_error_map_is_one_minus_the_confidence_at_the_size_that_M_saw(dims: SpatialDims) -> None:
    image, seen = image_of(dims), (16, 18, 20)[:dims]
    network = ConfidenceNetwork(deeplab(dims, InputSize("resize", seen)), image, SMALL).eval()
    prediction = at_size(Prediction(torch.zeros(2, 4, *seen)), SIZES[dims])
    judged = TrueClassProbability(network)(image, prediction)
    shown = F.interpolate(image, seen, mode="bilinear", antialias=True) if dims == 2 else resized(image, seen)
    confidence = resized(network.head(network.encoder(shown).layers, seen)[:, None], SIZES[dims])[:, 0]
    assert judged.error_map is not None and judged.anomaly_map is None and judged.class_quality is None
    torch.testing.assert_close(judged.error_map, 1 - confidence)
    assert judged.error_map.min() >= 0 and judged.error_map.max() <= 1 and confidence.std() > 1e-4


class Blind(Segmenter):
    """Shows no feature maps."""

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return image, []


def test_a_segmenter_without_feature_maps_is_refused(fails: Callable[..., AbstractContextManager[None]]) -> None:
    with fails("Blind shows no feature maps", "choose another detector"):
        ConfidenceNetwork(Blind(2, (0.0,), (1.0,)), image_of(2), SMALL)


def test_a_head_without_convolutions_is_refused(fails: Callable[..., AbstractContextManager[None]]) -> None:
    with fails("no widths", "give one at least"):
        ConfidenceConfig(widths=())


SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (32, 40), 3: (8, 16, 16)}
PLAIN = ConfidenceTrainingConfig(steps=10, batch=3, zoom=(1.0, 1.0), jitter=0.0)


def segmenter_of(dims: SpatialDims, input_size: InputSize | None = None) -> DeepLab:
    torch.manual_seed(0)
    return DeepLab(dims, DeepLabConfig(3, width=4, output_stride=8, rates=(1,), dropout=0.5), input_size)


def training_of(
    segmenter: Segmenter, dataset: Dataset, config: ConfidenceTrainingConfig, cpu: Runtime
) -> ConfidenceTraining:
    torch.manual_seed(1)
    head = ConfidenceConfig(fused=16, widths=(16, 16))
    network = ConfidenceNetwork(segmenter, dataset[0].image[None], head)
    return ConfidenceTraining(network, segmenter, dataset, config, cpu, seed=0)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {key for key, value in module.state_dict().items() if not value.equal(before[key])}


@pytest.mark.parametrize("size", [(4, 5), (3, 4, 2)])
def test_target_and_loss_by_loop(size: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, *size, generator=generator) * torch.tensor([1.0, 3.0, 9.0]).view(3, 1, *[1] * len(size))
    label_maps = torch.randint(4, (3, *size), generator=generator)
    label_maps[:, 0] = 255
    confidence = torch.rand(3, *size, generator=generator)
    target = confidence_targets(logits, label_maps, 255)
    errors = []
    for place in np.ndindex(3, *size):
        label = int(label_maps[place])
        if label == 255:
            assert target[place].isnan()
            continue
        powers = np.exp(logits[(place[0], slice(None), *place[1:])].double().numpy())
        assert target[place].item() == pytest.approx(powers[label] / powers.sum(), abs=1e-6)
        errors.append((confidence[place].item() - powers[label] / powers.sum()) ** 2)
    loss = confidence_loss(confidence, target).item()
    assert loss == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    crossed = (confidence[:, None] - target).square().nanmean().item()  # every image against every target
    assert abs(crossed - loss) > 0.01


def test_a_confidence_with_a_channel_is_refused(fails: Callable[..., object]) -> None:
    with fails("(3, 1, 4, 5)", "(3, 4, 5)", "(B, *S)", error=ShapeError):
        confidence_loss(torch.zeros(3, 1, 4, 5), torch.zeros(3, 4, 5))


def test_nothing_is_learnt_from_ignored_pixels() -> None:
    confidence = torch.rand(2, 3, requires_grad=True)
    target = torch.tensor([[0.5, torch.nan, 0.25], [torch.nan, torch.nan, 1.0]])
    confidence_loss(confidence, target).backward()
    assert confidence.grad is not None and (confidence.grad != 0).equal(~target.isnan())
    assert confidence_loss(confidence, torch.full((2, 3), torch.nan)).item() == 0


@pytest.mark.parametrize("share", [0.0, 1.0])  # before the encoder learns, both ways of looking agree
def test_a_step_measures_its_batch(share: float, toy: Callable[..., Dataset], cpu: Runtime) -> None:
    dataset, segmenter = toy(4), segmenter_of(2).train()
    config = replace(PLAIN, fine_tune=share, jitter=0.3)
    training = training_of(segmenter, dataset, config, cpu)
    images, label_maps = labelled_batch(dataset, 3, (1.0, 1.0), 0.3, generator_of(0, "confidence", 0))
    with torch.no_grad():
        target = confidence_targets(segmenter.eval()(images).logits, label_maps, 255)
        confidence = copy.deepcopy(training.network).train()(images)
    assert training.step(0)["loss"] == pytest.approx(confidence_loss(confidence, target).item(), rel=1e-4)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_step_in_bfloat16_is_close(share: float, toy: Callable[..., Dataset], cpu: Runtime) -> None:
    losses = []
    for runtime in (cpu, replace(cpu, precision="bf16")):
        training = training_of(segmenter_of(2), toy(3), replace(PLAIN, fine_tune=share), runtime)
        losses.append([training.step(step)["loss"] for step in range(2)])
    assert losses[1] == pytest.approx(losses[0], rel=0.02) and losses[1] != losses[0]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_the_encoder_learns_in_the_last_steps_alone(
    share: float, dims: SpatialDims, toy: Callable[..., Dataset], cpu: Runtime
) -> None:
    input_size = InputSize("tile", (8, 12, 16)) if dims == 3 else None  # gradients pass the windows of volumes
    segmenter = segmenter_of(dims, input_size)
    training = training_of(segmenter, toy(2, SIZES[dims]), replace(PLAIN, steps=5, batch=2, fine_tune=share), cpu)
    head, encoder, as_it_was = map(state_of, (training.network.head, training.network.encoder, segmenter))
    for step in range(3):
        training.step(step)
    assert changed(training.network.head, head) == head.keys()
    assert not changed(training.network.encoder, encoder)
    for step in (3, 4):
        training.step(step)
    moved = {key for key in encoder if key.startswith("trunk.") and "running" not in key and "num_" not in key}
    assert changed(training.network.encoder, encoder) == (moved if share else set())
    assert not changed(segmenter, as_it_was)


def test_rates_of_both_phases(toy: Callable[..., Dataset], cpu: Runtime) -> None:
    config = replace(PLAIN, steps=20, learning_rate=0.02, fine_tune_rate=0.001)
    training = training_of(segmenter_of(2), toy(2), config, cpu)
    for step, factor in ((0, 1.0), (10, 1.0), (15, 0.5)):
        training.step(step)
        head, encoder = training.optimizers["network"].param_groups
        assert head["lr"] == pytest.approx(0.02 * factor) and encoder["lr"] == pytest.approx(0.001 * factor)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_confidence_of_a_toy_is_learnt(dims: SpatialDims, toy: Callable[..., Dataset], cpu: Runtime) -> None:
    dataset = toy(2, SIZES[dims])
    torch.manual_seed(0)
    segmenter = DeepLab(dims, DeepLabConfig(3, width=4, output_stride=4, rates=(1,)))
    lessons = SegmentationConfig(30, batch=2, learning_rate=1e-2, zoom=(1.0, 1.0), jitter=0.0)
    fitting = SegmentationTraining(segmenter, dataset, lessons, cpu, seed=0)
    for step in range(30):  # M knows something, and errs
        fitting.step(step)
    config = replace(PLAIN, steps=100, batch=2, learning_rate=1e-2, fine_tune_rate=2e-3)
    training = training_of(segmenter.requires_grad_(False), dataset, config, cpu)
    for step in range(100):
        training.step(step)
    network, pairs = training.network.eval().requires_grad_(False), []
    for sample in dataset:
        assert sample.label_map is not None
        target = confidence_targets(segmenter(sample.image[None]).logits, sample.label_map[None], 255)
        known = ~target.isnan()
        pairs.append(torch.stack([network(sample.image[None])[known], target[known]]))
    confidence, target = torch.cat(pairs, dim=1)
    assert target.std() > 0.15 and (target < 0.4).float().mean() > 0.05
    assert torch.corrcoef(torch.stack([confidence, target]))[0, 1] > 0.9
