from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.special import expit, logsumexp
from torch import Tensor

from synthcp.config import from_dict, to_dict
from synthcp.detection.anomaly_fusion import (
    SMALLEST_DISTANCE,
    AnomalyFusion,
    FusedAnomaly,
    Usual,
    fit_fusion,
    log_distance,
)
from synthcp.detection.feature_distance import FeatureDistance
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig

FUSION = AnomalyFusion(Usual(-2.0, 0.5), Usual(-1.5, 0.8), drawing=0.7, smoothing=0.1)


def evidence(size: tuple[int, ...], layers: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, *size, generator=generator)
    return logits, 0.01 + torch.rand(2, 1 + layers, *size, generator=generator)


@pytest.mark.parametrize("size", [(10, 14), (6, 9, 10)])
def test_the_score_is_the_smoothed_mean_of_both_cues_in_deviations(size: tuple[int, ...]) -> None:
    logits, disagreement = evidence(size)
    doubt = (-logsumexp(logits.double().numpy(), axis=1) + 2.0) / 0.5
    lack = (np.log(disagreement[:, -2:].double().numpy()).mean(axis=1) + 1.5) / 0.8  # the deeper two of three layers
    raw = (doubt + 0.7 * lack) / 1.7
    expected = expit(np.stack([gaussian_filter(one, 0.1 * min(size), mode="nearest") for one in raw]))
    score = FUSION(logits, disagreement)
    assert score.min() > 0 and score.max() < 1
    np.testing.assert_allclose(score, expected, atol=1e-5)


@pytest.mark.parametrize(("layers", "deeper"), [(1, 1), (2, 1), (3, 2), (4, 2), (6, 3)])
def test_the_deeper_half_of_the_feature_maps_is_compared(layers: int, deeper: int) -> None:
    _, disagreement = evidence((5, 7), layers)
    torch.testing.assert_close(log_distance(disagreement), disagreement[:, -deeper:].log().mean(dim=1))


def test_no_distance_is_a_small_one() -> None:
    assert log_distance(torch.zeros(1, 3, 2, 2)).unique().tolist() == pytest.approx([math.log(SMALLEST_DISTANCE)])


def test_what_is_usual_is_measured_over_all_pixels_of_all_images() -> None:
    images = [evidence((5, 7), seed=1), evidence((9, 4), seed=2)]
    fusion = fit_fusion(images)
    energies = np.concatenate([-logsumexp(logits.double().numpy(), axis=1).ravel() for logits, _ in images])
    distances = torch.cat([log_distance(disagreement).flatten() for _, disagreement in images]).double().numpy()
    assert fusion.energy.mean == pytest.approx(energies.mean(), rel=1e-5)
    assert fusion.energy.deviation == pytest.approx(energies.std(), rel=1e-5)
    assert fusion.distance.mean == pytest.approx(distances.mean(), rel=1e-5)
    assert fusion.distance.deviation == pytest.approx(distances.std(), rel=1e-5)


@pytest.mark.parametrize("spoil", [lambda logits: [], lambda logits: [(torch.zeros_like(logits), evidence((5, 7))[1])]])
def test_nothing_usual_is_refused(spoil: Callable[[Tensor], list[tuple[Tensor, Tensor]]], fails: Callable) -> None:
    with fails("no spread", "fit on more images"):
        fit_fusion(spoil(evidence((5, 7))[0]))


def test_it_goes_to_json_and_back() -> None:
    assert from_dict(AnomalyFusion, to_dict(FUSION)) == FUSION


def test_as_a_comparator_it_asks_m_what_the_drawing_lacks() -> None:
    torch.manual_seed(0)
    segmenter = DeepLab(2, DeepLabConfig(3, width=4, rates=(1,))).eval().requires_grad_(False)
    image, drawing = torch.rand(2, 3, 32, 40), torch.rand(2, 3, 32, 40)
    prediction, distance = segmenter(image), FeatureDistance(segmenter)
    found = FusedAnomaly(distance, FUSION)(image, drawing, prediction).anomaly_map
    expected = FUSION(prediction.logits, distance.disagreement(image, drawing, prediction))
    assert found is not None and found.equal(expected)
    blind = FusedAnomaly(distance, replace(FUSION, drawing=0.0))
    other = blind(image, drawing.flip(-1), prediction).anomaly_map
    assert other is not None and other.equal(blind(image, drawing, prediction).anomaly_map)  # type: ignore[arg-type]
