from __future__ import annotations

from itertools import product

import pytest
import torch
from scipy.stats import entropy as entropy_of
from torch import Tensor

from synthcp.nn.labels import one_hot
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Prediction
from synthcp.rivals.dropout import MonteCarloDropout
from synthcp.rivals.quality_regression import fit_line
from synthcp.rivals.voxel_uncertainty import (
    AGGREGATORS,
    PredictiveEntropy,
    PredictiveVariance,
    UncertaintyScore,
    grown,
    uncertainty_scores,
)

SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (17, 20), 3: (8, 9, 12)}


@pytest.fixture
def image(dims: SpatialDims) -> Tensor:
    return torch.rand(2, 3, *SIZES[dims], generator=torch.Generator().manual_seed(1))


def passes_of(dropout: MonteCarloDropout, image: Tensor) -> Tensor:
    """The softmax of every pass of a batch of one, shape (T, L, *S), by single passes."""
    one = [MonteCarloDropout(dropout.segmenter, 1, seed).mean_softmax(image, Prediction(image)) for seed in range(4)]
    return torch.cat(one).double()


def test_the_entropy_of_the_mean(dropout: MonteCarloDropout, image: Tensor) -> None:
    found = PredictiveEntropy(dropout)(image, Prediction(image))
    assert found.shape == (2, 1, *image.shape[2:])
    for index in (0, 1):
        mean = passes_of(dropout, image[index : index + 1]).mean(0).numpy()
        torch.testing.assert_close(found[index, 0].double(), torch.from_numpy(entropy_of(mean, base=3, axis=0)))


def test_the_variance_and_its_parts(dropout: MonteCarloDropout, image: Tensor) -> None:
    prediction = Prediction(image)
    total, aleatoric, epistemic = (
        PredictiveVariance(dropout, part)(image, prediction).double() for part in ("total", "aleatoric", "epistemic")
    )
    assert total.shape == image.shape and epistemic.max() > 0.01
    for index in (0, 1):
        p = passes_of(dropout, image[index : index + 1])
        torch.testing.assert_close(aleatoric[index], (p * (1 - p)).mean(0), atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(epistemic[index], p.var(0, correction=0), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(total, aleatoric + epistemic, atol=1e-6, rtol=1e-4)


def scene(dims: SpatialDims) -> tuple[Tensor, Tensor]:
    """A map of each class and label maps with the classes 0, 1 and 2 (2 in the first one alone) of four."""
    generator = torch.Generator().manual_seed(2)
    label_map = (torch.rand(2, *SIZES[dims], generator=generator) > 0.9).long()
    label_map[0, -1, 2:5] = 2
    return torch.rand(2, 4, *SIZES[dims], generator=generator), label_map


@pytest.mark.parametrize("name", AGGREGATORS)
def test_aggregates_of_class_maps_by_loop(name: str, dims: SpatialDims) -> None:
    uncertainty, label_map = scene(dims)
    scores = uncertainty_scores(uncertainty, one_hot(label_map, 4), name)
    assert scores.shape == (2, 4)
    for index, label in product(range(2), range(4)):
        values, inside = uncertainty[index, label].flatten().tolist(), (label_map[index] == label).flatten().tolist()
        if not any(inside):
            assert scores[index, label].isnan()
            continue
        within = sum(value for value, here in zip(values, inside, strict=True) if here)
        expected = {
            "sum": sum(values),
            "mean": sum(values) / len(values),
            "foreground mean": within / sum(inside),
            "sum / volume": sum(values) / sum(inside),
        }[name]
        assert scores[index, label].item() == pytest.approx(expected, rel=1e-5)
    assert scores[:, 3].isnan().all() and scores[0, 2].isfinite() and scores[1, 2].isnan()


@pytest.mark.parametrize("reach", [1, 3])
def test_growing_by_loop(reach: int, dims: SpatialDims) -> None:
    masks = (torch.rand(1, 2, *SIZES[dims], generator=torch.Generator().manual_seed(0)) > 0.99).float()
    expected = torch.zeros_like(masks)
    for _, label, *place in masks.nonzero().tolist():
        near = tuple(slice(max(0, at - reach), at + reach + 1) for at in place)
        expected[(0, label, *near)] = 1
    assert 0 < masks.sum() < grown(masks, reach).sum() and grown(masks, reach).equal(expected)


def test_a_map_of_all_classes_is_shared_by_reach(dims: SpatialDims) -> None:
    uncertainty, label_map = scene(dims)
    masks, shared = one_hot(label_map, 4), uncertainty[:, :1]
    near = uncertainty_scores(shared, masks, "sum", reach=2)
    everywhere = uncertainty_scores(shared, masks, "sum", reach=None)
    for label in (0, 1):
        at_class = grown(masks, 2)[:, label] * shared[:, 0]
        torch.testing.assert_close(near[:, label], at_class.flatten(1).sum(1))
        torch.testing.assert_close(everywhere[:, label], shared.flatten(1).sum(1))
    assert near[0, 2] < everywhere[0, 2]


@torch.no_grad()
def test_the_score_carries_its_map(dropout: MonteCarloDropout, image: Tensor) -> None:
    prediction = Prediction(dropout.segmenter(image).logits)
    for uncertainty in (PredictiveEntropy(dropout), PredictiveVariance(dropout)):
        found = UncertaintyScore(uncertainty, "sum", reach=2)(image, prediction)
        voxels = uncertainty(image, prediction)
        assert found.error_map is not None
        torch.testing.assert_close(found.error_map, voxels.sum(1))
        masks = one_hot(prediction.label_map, 3)
        torch.testing.assert_close(found.scores, uncertainty_scores(voxels, masks, "sum", 2), equal_nan=True)


def test_more_uncertainty_means_worse_where_it_does() -> None:
    """Masks under noise: what is unsure is wrong, and the regression finds the falling line."""
    generator = torch.Generator().manual_seed(0)
    scores, quality = [], []
    for noise in torch.linspace(0, 1, 12):
        label_map = torch.zeros(1, 12, 12, dtype=torch.int64)
        label_map[:, 3:9, 3:9] = 1
        uncertainty = noise * torch.rand(1, 1, 12, 12, generator=generator)
        scores.append(uncertainty_scores(uncertainty, one_hot(label_map, 2), "foreground mean"))
        quality.append((1 - noise).expand(1, 2))
    assert fit_line(torch.cat(scores), torch.cat(quality)).signs == (-1, -1)
