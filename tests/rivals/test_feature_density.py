from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.records import Prediction
from synthcp.rivals.class_gaussians import fit_class_gaussians
from synthcp.rivals.feature_density import FeatureDensity, Unusualness, rows_by_class
from synthcp.rivals.nearest_neighbors import fit_nearest_neighbors
from synthcp.segmentation.base import Segmenter


class Halving(Segmenter):
    """Two feature maps: the image, and the image at half its size."""

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return image, [image, image[..., ::2, ::2]]


@pytest.mark.parametrize(("layer", "scale"), [(0, 1), (-1, 2)])
def test_the_score_of_a_layer_comes_at_the_size_of_the_image(layer: int, scale: int) -> None:
    image = torch.rand(2, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    segmenter = Halving(2, (0.0,), (1.0,))
    detector = FeatureDensity(segmenter, lambda features: features[:, 1], layer)
    expected = F.interpolate(image[:, 1:2, ::scale, ::scale], (6, 10), mode="bilinear")[:, 0]
    for prediction in (segmenter(image), Prediction(image)):
        judged = detector(image, prediction)
        assert judged.error_map is None and judged.anomaly_map is not None
        torch.testing.assert_close(judged.anomaly_map, expected)


@pytest.mark.parametrize("fit", [fit_class_gaussians, fit_nearest_neighbors])
def test_autocast_does_not_tie_what_differs(fit: Callable[..., Unusualness]) -> None:
    image = 3 + torch.rand(1, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    segmenter, known = Halving(2, (0.0,), (1.0,)), torch.zeros(1, 12, 20).long()
    detector = FeatureDensity(segmenter, fit([(3 + torch.rand_like(image), known)], 1), layer=0)
    with torch.autocast("cpu", torch.bfloat16):
        found = detector(image, segmenter(image)).anomaly_map
    expected = detector(image, segmenter(image)).anomaly_map
    assert found is not None and expected is not None and found.equal(expected)


def test_rows_come_by_class_and_pixels_without_one_are_left_out() -> None:
    features = torch.arange(2 * 2 * 2 * 3).view(2, 2, 2, 3).float()
    label_map = torch.tensor([[[0, 2, 2], [255, 0, 1]], [[2, 2, 2], [2, 255, 2]]])
    large = label_map.repeat_interleave(2, 1).repeat_interleave(3, 2)
    by_class = {label: rows.tolist() for label, rows in rows_by_class(features, large, 2)}
    assert by_class == {0: [[0.0, 6.0], [4.0, 10.0]], 1: [[5.0, 11.0]]}
    assert sum(len(rows) for _, rows in rows_by_class(features, large, 3)) == 10


def test_volumes_have_rows_too() -> None:
    features, label_map = torch.rand(1, 4, 2, 3, 5), torch.randint(3, (1, 2, 3, 5))
    for label, rows in rows_by_class(features, label_map, 3):
        assert rows.equal(features.movedim(1, -1)[label_map == label])
