"""Deep nearest neighbours (Sun et al., ICML 2022), pixel by pixel: how far the features are from any that M knows."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.comparison.base import Detector
from synthcp.errors import InputError
from synthcp.fitting.fit_data import FitData
from synthcp.rivals.feature_density import FeatureDensity, rows_by_class, rows_of

LARGEST_TABLE = 2**24
"""Distances that are held at once, 64 MiB; what is larger is done in parts."""


class NearestNeighbors(nn.Module):
    """A bank of features of in-distribution images, of length 1. Its state is the bank.

    Args:
        bank: Shape (N, K); rows are brought to length 1.
        k: Which neighbour counts, 1 the nearest.

    Raises:
        InputError: The bank holds fewer than k rows, or k is less than 1.
    """

    bank: Tensor

    def __init__(self, bank: Tensor, k: int = 5) -> None:
        super().__init__()
        if not 1 <= k <= len(bank):
            raise InputError(f"k = {k} must lie between 1 and the {len(bank)} rows of the bank; choose another k")
        self.k = k
        self.register_buffer("bank", F.normalize(bank.float(), dim=1))

    def forward(self, features: Tensor) -> Tensor:
        """Return the cosine distance to the k-th nearest row, which is 0 where they are parallel.

        It is half the squared Euclidean distance between rows of length 1, so that both name the same neighbours.

        Args:
            features: Shape (B, K, *s).

        Returns:
            Shape (B, *s), in [0, 2].
        """
        rows = F.normalize(rows_of(features), dim=1)
        chunks = torch.split(rows, max(1, LARGEST_TABLE // len(self.bank)))
        nearest = torch.cat([(chunk @ self.bank.T).topk(self.k, dim=1).values for chunk in chunks])
        return (1 - nearest[:, -1]).clamp(0, 2).view(features.shape[0], *features.shape[2:])


@torch.no_grad()
def fit_nearest_neighbors(
    pairs: Iterable[tuple[Tensor, Tensor]],
    classes: int,
    per_class: int = 1000,
    k: int = 5,
    seed: int = 0,
) -> NearestNeighbors:
    """Draw the bank from in-distribution images, one pair at a time; every class gets the same share, also a rare one.

    Args:
        pairs: Features (B, K, *s) and a label map (B, *S) of any size, true or predicted; pixels without a class are
            left out.
        classes: L.
        per_class: Pixels of each class in the bank, drawn evenly from all of the class; all if it has fewer.
        k: As in NearestNeighbors.
        seed: Of the random draw.

    Raises:
        InputError: Fewer than k pixels have a class.
    """
    generator = torch.Generator().manual_seed(seed)
    samples = [Reservoir(per_class, generator) for _ in range(classes)]
    for features, label_map in pairs:
        for label, rows in rows_by_class(features, label_map, classes):
            samples[label].add(rows.cpu())
    drawn = [sample.rows() for sample in samples if sample.parts]
    return NearestNeighbors(torch.cat(drawn) if drawn else torch.empty(0, 1), k)


class Reservoir:
    """An even sample of a stream of rows: each gets a random key, and those with the largest keys stay.

    Args:
        size: Rows to keep.
        generator: Of the keys.
    """

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self.size = size
        self.generator = generator
        self.least = 0.0
        self.parts: list[tuple[Tensor, Tensor]] = []

    def add(self, rows: Tensor) -> None:
        """Take in rows (N, K); never more than twice the size and these are held."""
        keys = torch.rand(len(rows), generator=self.generator)
        self.parts.append((keys[keys >= self.least], rows[keys >= self.least]))
        if sum(len(held) for held, _ in self.parts) > 2 * self.size:
            self._shrink()

    def rows(self) -> Tensor:
        """Return the sample, shape (at most size, K)."""
        self._shrink()
        return self.parts[0][1]

    def _shrink(self) -> None:
        keys, rows = (torch.cat(part) for part in zip(*self.parts, strict=True))
        kept = keys.topk(min(self.size, len(keys)))
        self.parts = [(kept.values, rows[kept.indices])]
        self.least = kept.values[-1].item() if len(keys) >= self.size else 0.0


def fit_knn(data: FitData) -> Detector:
    """Draw the bank from M's features of the training images."""
    neighbors = fit_nearest_neighbors(data.labelled_features(), len(data.context.settings.classes))
    return FeatureDensity(data.segmenter, data.runtime.place(neighbors))
