"""Mahalanobis distance to the nearest class (Lee et al., NeurIPS 2018), pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from synthcp.comparison.base import Detector
from synthcp.errors import InputError
from synthcp.fitting.fit_data import FitData
from synthcp.rivals.feature_density import FeatureDensity, rows_by_class, rows_of


class ClassGaussians(nn.Module):
    """One Gaussian for each class, all of the same covariance. Its state is its arguments: ClassGaussians(**tensors).

    Args:
        center: What is subtracted from features first, shape (K,).
        whitening: W with W^T W the inverse covariance, shape (K, K).
        means: Centred and whitened means of the classes, shape (classes that were seen, K).
    """

    center: Tensor
    whitening: Tensor
    means: Tensor

    def __init__(self, center: Tensor, whitening: Tensor, means: Tensor) -> None:
        super().__init__()
        self.register_buffer("center", center)
        self.register_buffer("whitening", whitening)
        self.register_buffer("means", means)

    def forward(self, features: Tensor) -> Tensor:
        """Return the smallest distance to a class mean, min_c sqrt((f - mu_c)^T S^-1 (f - mu_c)).

        Args:
            features: Shape (B, K, *s).

        Returns:
            Shape (B, *s), at least 0.
        """
        rows = (rows_of(features) - self.center) @ self.whitening.T
        distances = torch.cdist(rows, self.means, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.amin(dim=1).view(features.shape[0], *features.shape[2:])


@torch.no_grad()
def fit_class_gaussians(pairs: Iterable[tuple[Tensor, Tensor]], classes: int, ridge: float = 1e-3) -> ClassGaussians:
    """Estimate the means and the covariance from in-distribution images, one pair at a time, in double precision.

    Args:
        pairs: Features (B, K, *s) and a label map (B, *S) of any size, true or predicted; pixels without a class are
            left out.
        classes: L; a class that never comes has no Gaussian.
        ridge: Added to the diagonal of the covariance, as a share of its mean.

    Raises:
        InputError: No pixel has a class, or all features of a class are the same.
    """
    center, counts, sums, squares = _sums(pairs, classes)
    seen = counts > 0
    means = sums[seen] / counts[seen, None]
    covariance = (squares - sums[seen].T @ means) / counts.sum()
    scale = covariance.diagonal().mean()
    if not scale > 0:
        raise InputError(f"features of {int(counts.sum())} pixels have no spread within a class; use more images")
    covariance += ridge * scale * torch.eye(len(center), dtype=torch.float64)
    whitening = torch.linalg.solve_triangular(
        torch.linalg.cholesky(covariance), torch.eye(len(center), dtype=torch.float64), upper=False
    )
    return ClassGaussians(center.float(), whitening.float(), (means @ whitening.T).float())


def _sums(pairs: Iterable[tuple[Tensor, Tensor]], classes: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A center near the data, then of features minus it: number and sum by class, and sum of outer products."""
    center = torch.zeros(1, dtype=torch.float64)
    counts = torch.zeros(classes, dtype=torch.float64)
    sums, squares = center.new_zeros(classes, 1), center.new_zeros(1, 1)
    for features, label_map in pairs:
        for label, rows in rows_by_class(features, label_map, classes):
            rows = rows.double().cpu()
            if counts.sum() == 0:
                center = rows.mean(dim=0).float().double()
                sums, squares = sums.new_zeros(classes, len(center)), sums.new_zeros(len(center), len(center))
            rows = rows - center
            counts[label] += len(rows)
            sums[label] += rows.sum(dim=0)
            squares += rows.T @ rows
    return center, counts, sums, squares


def fit_mahalanobis(data: FitData) -> Detector:
    """Fit the Gaussians to M's features of the training images."""
    gaussians = fit_class_gaussians(data.labelled_features(), len(data.context.settings.classes))
    return FeatureDensity(data.segmenter, data.runtime.place(gaussians))
