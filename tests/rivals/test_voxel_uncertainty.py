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
    PredictiveEntropy,
    PredictiveVariance,
    UncertaintyScore,
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


def test_the_variance_is_its_aleatoric_and_its_epistemic_part(dropout: MonteCarloDropout, image: Tensor) -> None:
    total = PredictiveVariance(dropout)(image, Prediction(image)).double()
    assert total.shape == image.shape
    for index in (0, 1):
        p = passes_of(dropout, image[index : index + 1])
        epistemic = p.var(0, correction=0)
        torch.testing.assert_close(total[index], (p * (1 - p)).mean(0) + epistemic, atol=1e-6, rtol=1e-4)
        assert epistemic.max() > 0.01


def scene(dims: SpatialDims) -> tuple[Tensor, Tensor]:
    """A map of each class and label maps with the classes 0, 1 and 2 (2 in the first one alone) of four."""
    generator = torch.Generator().manual_seed(2)
    label_map = (torch.rand(2, *SIZES[dims], generator=generator) > 0.9).long()
    label_map[0, -1, 2:5] = 2
    return torch.rand(2, 4, *SIZES[dims], generator=generator), label_map


def test_means_of_class_maps_by_loop(dims: SpatialDims) -> None:
    uncertainty, label_map = scene(dims)
    scores = uncertainty_scores(uncertainty, one_hot(label_map, 4))
    assert scores.shape == (2, 4)
    for index, label in product(range(2), range(4)):
        values, inside = uncertainty[index, label].flatten().tolist(), (label_map[index] == label).flatten().tolist()
        if not any(inside):
            assert scores[index, label].isnan()
            continue
        within = sum(value for value, here in zip(values, inside, strict=True) if here)
        assert scores[index, label].item() == pytest.approx(within / sum(inside), rel=1e-5)
    assert scores[:, 3].isnan().all() and scores[0, 2].isfinite() and scores[1, 2].isnan()


def test_a_map_of_all_classes_is_that_of_each(dims: SpatialDims) -> None:
    uncertainty, label_map = scene(dims)
    masks, shared = one_hot(label_map, 4), uncertainty[:, :1]
    expected = uncertainty_scores(shared.expand_as(masks), masks)
    torch.testing.assert_close(uncertainty_scores(shared, masks), expected, equal_nan=True)


@torch.no_grad()
def test_the_score_carries_its_map(dropout: MonteCarloDropout, image: Tensor) -> None:
    prediction = Prediction(dropout.segmenter(image).logits)
    for uncertainty in (PredictiveEntropy(dropout), PredictiveVariance(dropout)):
        found = UncertaintyScore(uncertainty)(image, prediction)
        voxels = uncertainty(image, prediction)
        assert found.error_map is not None
        torch.testing.assert_close(found.error_map, voxels.sum(1))
        masks = one_hot(prediction.label_map, 3)
        torch.testing.assert_close(found.scores, uncertainty_scores(voxels, masks), equal_nan=True)


def test_more_uncertainty_means_worse_where_it_does() -> None:
    """Masks under noise: what is unsure is wrong, and the regression finds the falling line."""
    generator = torch.Generator().manual_seed(0)
    scores, quality = [], []
    for noise in torch.linspace(0, 1, 12):
        label_map = torch.zeros(1, 12, 12, dtype=torch.int64)
        label_map[:, 3:9, 3:9] = 1
        uncertainty = noise * torch.rand(1, 1, 12, 12, generator=generator)
        scores.append(uncertainty_scores(uncertainty, one_hot(label_map, 2)))
        quality.append((1 - noise).expand(1, 2))
    assert max(fit_line(torch.cat(scores), torch.cat(quality)).slopes) < 0
