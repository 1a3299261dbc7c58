from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import empirical_covariance
from torch import Tensor

from synthcp.rivals.class_gaussians import ClassGaussians, fit_class_gaussians
from synthcp.system.files import load_tensors, save_module

SIZES = [(9, 7), (4, 5, 3)]


def pairs_of(size: tuple[int, ...], offset: float = 50.0) -> list[tuple[Tensor, Tensor]]:
    """Correlated features around the mean of their class; class 1 never comes, 255 is no class."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, generator=generator)
    pairs = []
    for _ in range(3):
        label_map = torch.tensor([0, 2, 3, 255])[torch.randint(4, (2, *size), generator=generator)]
        noise = torch.randn(2, *size, 4, generator=generator) @ mixing
        centers = torch.stack([label_map % 5, label_map % 3, 2 * label_map % 7, 0 * label_map], dim=-1)
        pairs.append(((offset + centers + noise).movedim(-1, 1), label_map))
    return pairs


@pytest.mark.parametrize("size", SIZES)
def test_distance_is_scipys_to_the_nearest_class(size: tuple[int, ...]) -> None:
    pairs = pairs_of(size)
    rows = np.concatenate([features.movedim(1, -1).reshape(-1, 4).double().numpy() for features, _ in pairs])
    labels = np.concatenate([label_map.numpy().ravel() for _, label_map in pairs])
    means = [rows[labels == label].mean(0) for label in (0, 2, 3)]
    centred = [rows[labels == label] - mean for label, mean in zip((0, 2, 3), means, strict=True)]
    covariance = empirical_covariance(np.concatenate(centred), assume_centered=True)
    inverse = np.linalg.inv(covariance + 0.01 * np.trace(covariance) / 4 * np.eye(4))
    features = pairs_of(size, offset=48.0)[1][0]
    score = fit_class_gaussians(iter(pairs), classes=4, ridge=0.01)(features)
    assert score.shape == (2, *size)
    pixels = features.movedim(1, -1).reshape(-1, 4).numpy()
    expected = [min(mahalanobis(pixel, mean, inverse) for mean in means) for pixel in pixels]
    assert score.flatten().tolist() == pytest.approx(expected, rel=1e-4)


def test_a_large_offset_costs_no_precision() -> None:
    near, far = (fit_class_gaussians(pairs_of((9, 7), offset), 4) for offset in (0.0, 4096.0))
    features = pairs_of((9, 7), 0.0)[0][0]
    torch.testing.assert_close(near(features), far(features + 4096.0), atol=0.02, rtol=0.01)


def test_what_was_fitted_survives_the_disk(tmp_path: Path) -> None:
    gaussians = fit_class_gaussians(pairs_of((9, 7)), 4)
    save_module(tmp_path / "gaussians.safetensors", gaussians)
    read = ClassGaussians(**load_tensors(tmp_path / "gaussians.safetensors")[0])
    features = torch.randn(1, 4, 5, 6)
    assert read(features).equal(gaussians(features))


@pytest.mark.parametrize("pairs", [[], [(torch.ones(1, 2, 3, 3), torch.zeros(1, 3, 3).long())]], ids=["none", "one"])
def test_features_without_spread_are_refused(pairs, fails) -> None:
    with fails("no spread", "more images"):
        fit_class_gaussians(pairs, 2)
