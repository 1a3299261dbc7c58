from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.special import expit, logsumexp, softmax
from scipy.stats import entropy
from torch import Tensor

from synthcp.comparison.anomaly_fusion import SMALLEST_DISTANCE, AnomalyFusion, FusedAnomaly, cues_of, fit_fusion
from synthcp.comparison.evidence import Evidence
from synthcp.comparison.feature_distance import BLANK, FeatureDistance, feature_distance
from synthcp.config.values import from_dict, to_dict
from synthcp.segmentation.deeplab import DeepLab, DeepLabConfig

FUSION = AnomalyFusion(
    (0.5, -2.0, -1.5, -1.0, 2.5), (0.2, 0.5, 0.8, 0.4, 1.5), (1.0, 0.7, 0.3, 0.2, 2.0), smoothing=0.1
)


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(2, *size, generator=torch.Generator().manual_seed(seed))


def evidence(size: tuple[int, ...], layers: int = 3) -> Evidence:
    image, logits = random(3, *size), 4 * random(4, *size, seed=1)
    return Evidence(
        image, image, logits, 0.01 + random(1 + layers, *size, seed=2), 0.01 + random(layers, *size, seed=3)
    )


@pytest.mark.parametrize("size", [(10, 14), (6, 9, 10)])
def test_the_score_is_the_smoothed_weighted_mean_of_the_cues_in_deviations(size: tuple[int, ...]) -> None:
    cues = 3 * random(5, *size) - 2
    z = [(cues[:, i].double().numpy() - FUSION.means[i]) / FUSION.deviations[i] for i in range(5)]
    raw = (1.0 * z[0] + 0.7 * z[1] + 0.3 * z[2] + 0.2 * z[3] + 2.0 * z[4]) / 4.2
    expected = expit(np.stack([gaussian_filter(one, 0.1 * min(size), mode="nearest") for one in raw]))
    score = FUSION(cues)
    assert score.min() > 0 and score.max() < 1
    np.testing.assert_allclose(score, expected, atol=1e-5)


@pytest.mark.parametrize(("layers", "deeper"), [(1, 1), (2, 1), (3, 2), (6, 3)])
def test_the_cues_are_doubt_twice_the_lack_in_the_drawing_and_the_presence(layers: int, deeper: int) -> None:
    found = evidence((5, 7), layers)
    logits = found.logits.double().numpy()
    assert found.objectness is not None
    expected = [
        entropy(softmax(logits, axis=1), axis=1) / np.log(4),
        -logsumexp(logits, axis=1),
        np.log(found.feature_distances[:, 1:].double().numpy()).mean(axis=1),
        np.log(found.objectness[:, -deeper:].double().numpy()).mean(axis=1),
    ]
    surprise = 3 * random(5, 7, seed=4) - 1
    for told in (surprise, None):
        last = np.zeros((2, 5, 7)) if told is None else told.numpy()
        np.testing.assert_allclose(cues_of(found, told), np.stack([*expected, last], axis=1), atol=1e-5)


def test_where_nothing_is_drawn_nothing_lacks() -> None:
    found = evidence((4, 5))
    blind = cues_of(replace(found, feature_distances=found.feature_distances[:, :0]))
    assert not blind[:, 2].any() and blind[:, [0, 1, 3]].equal(cues_of(found)[:, [0, 1, 3]])


def test_no_distance_is_a_small_one() -> None:
    found = evidence((4, 5))
    cues = cues_of(replace(found, feature_distances=torch.zeros(2, 4, 4, 5), objectness=torch.zeros(2, 3, 4, 5)))
    torch.testing.assert_close(cues[:, 2:4], torch.full((2, 2, 4, 5), SMALLEST_DISTANCE).log())


def test_what_is_usual_is_measured_over_all_pixels_of_all_images() -> None:
    images = [random(5, 5, 7, seed=1), 3 * random(5, 9, 4, seed=2)]
    fusion = fit_fusion(images)
    pixels = np.concatenate([image.double().movedim(1, -1).reshape(-1, 5) for image in images])
    assert fusion.means == pytest.approx(tuple(pixels.mean(axis=0)), rel=1e-6)
    assert fusion.deviations == pytest.approx(tuple(pixels.std(axis=0)), rel=1e-6)


def test_without_images_nothing_is_usual(fails: Callable) -> None:
    with fails("no image tells what is usual"):
        fit_fusion([])


def test_a_cue_that_never_varies_tells_nothing() -> None:
    """Such as the entropy of an M that is always sure of one class: its rounding must not outweigh the other cues."""
    cues, rounding = random(5, 9, 8), 1e-6 * random(1, 9, 8, seed=1)
    cues[:, :1] = 0.25 + rounding
    fusion = fit_fusion([cues])
    without = replace(fusion, weights=(0.0, *fusion.weights[1:]))
    assert fusion(cues).equal(without(cues))
    silent = fit_fusion([torch.ones(1, 5, 9, 8)])
    torch.testing.assert_close(silent(torch.ones(1, 5, 9, 8)), torch.full((1, 9, 8), 0.5))


def test_it_goes_to_json_and_back() -> None:
    assert from_dict(AnomalyFusion, to_dict(FUSION)) == FUSION


def segmenter() -> DeepLab:
    torch.manual_seed(0)
    return DeepLab(2, DeepLabConfig(3, width=4, rates=(1,))).eval().requires_grad_(False)


def test_as_a_comparator_it_asks_m_what_it_sees_in_image_drawing_and_canvas() -> None:
    network = segmenter()
    image, synthesis = random(3, 32, 40), random(3, 32, 40, seed=1)
    prediction, distance = network(image), FeatureDistance(network)
    found = FusedAnomaly(distance, FUSION)(image, synthesis, prediction).anomaly_map
    parts = distance.feature_distances(image, synthesis, prediction), distance.objectness(image, prediction)
    expected = FUSION(cues_of(Evidence(image, synthesis, prediction.logits, *parts)))
    assert found is not None and found.equal(expected)


def test_presence_is_the_distance_to_a_blank_canvas_at_every_layer() -> None:
    network, image = segmenter(), random(3, 32, 40)
    found = FeatureDistance(network).objectness(image, network(image))
    canvas = torch.full((2, 3, 32, 40), BLANK)
    for layer, (seen, empty) in enumerate(zip(network(image).layers, network(canvas).layers, strict=True)):
        expected = feature_distance(seen, empty)[:, None]
        torch.testing.assert_close(
            found[:, layer], torch.nn.functional.interpolate(expected, (32, 40), mode="bilinear")[:, 0]
        )
    assert FeatureDistance(network).objectness(canvas, network(canvas)).abs().max() < 1e-5
