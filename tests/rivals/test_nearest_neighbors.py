from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.neighbors import NearestNeighbors as Oracle
from torch import Tensor

from synthcp.rivals import nearest_neighbors
from synthcp.rivals.nearest_neighbors import NearestNeighbors, Reservoir, fit_nearest_neighbors
from synthcp.system.files import load_tensors, save_module

GENERATOR = torch.Generator().manual_seed(0)
BANK = torch.randn(40, 6, generator=GENERATOR)


@pytest.mark.parametrize("size", [(9, 7), (4, 5, 3)])
@pytest.mark.parametrize("table", [2**24, 200])
def test_distance_is_sklearns(size: tuple[int, ...], table: int, monkeypatch) -> None:
    monkeypatch.setattr(nearest_neighbors, "LARGEST_TABLE", table)
    features = torch.randn(2, 6, *size, generator=GENERATOR)
    distances, _ = Oracle(n_neighbors=3, metric="cosine").fit(BANK).kneighbors(features.movedim(1, -1).reshape(-1, 6))
    score = NearestNeighbors(BANK, 3)(features)
    assert score.shape == (2, *size)
    torch.testing.assert_close(score.flatten(), torch.from_numpy(distances[:, 2]).float(), atol=1e-5, rtol=1e-5)


def test_it_is_half_the_squared_euclidean_distance_of_the_directions() -> None:
    features = torch.randn(1, 6, 2, 3, generator=GENERATOR)
    rows = torch.nn.functional.normalize(features.movedim(1, -1).reshape(-1, 6), dim=1)
    distance = torch.cdist(rows, torch.nn.functional.normalize(BANK, dim=1)).amin(1)
    torch.testing.assert_close(NearestNeighbors(BANK, 1)(features).flatten(), distance.square() / 2)


def labelled(count: int = 4) -> list[tuple[Tensor, Tensor]]:
    """Class 0 is common, class 2 rare, class 1 never comes, 255 is no class; the first channel is the class."""
    pairs = []
    for index in range(count):
        label_map = torch.zeros(1, 8, 12).long()
        label_map[:, 0] = 255
        label_map[:, 3, 4] = 2
        features = torch.randn(1, 6, 8, 12, generator=torch.Generator().manual_seed(index))
        features[:, 0] = 100 * label_map
        pairs.append((features, label_map))
    return pairs


def test_the_bank_holds_as_many_of_each_class_as_there_are_but_no_more_than_asked_for() -> None:
    fitted = fit_nearest_neighbors(iter(labelled()), classes=3, per_class=10, k=2)
    rare = fitted.bank[:, 0] > 0.5
    assert (~rare).sum() == 10 and rare.sum() == 4 and fitted.k == 2
    torch.testing.assert_close(fitted.bank.norm(dim=1), torch.ones(14))


def test_the_bank_depends_on_the_seed_alone() -> None:
    first, again, other = (fit_nearest_neighbors(labelled(), 3, 10, seed=seed).bank for seed in (0, 0, 1))
    assert first.equal(again) and not first.equal(other)


def test_a_reservoir_draws_evenly_from_the_whole_stream_and_stays_small() -> None:
    stream = torch.arange(2000.0)[:, None]
    drawn, generator = torch.zeros(2000), torch.Generator().manual_seed(0)
    for _ in range(50):
        reservoir = Reservoir(100, generator)
        for rows in stream.split(37):
            reservoir.add(rows)
            assert sum(len(keys) for keys, _ in reservoir.parts) <= 200
        sample = reservoir.rows().flatten().long()
        assert len(sample.unique()) == 100
        drawn[sample] += 1
    tenths = drawn.view(10, 200).sum(dim=1)
    assert tenths.min() > 430 and tenths.max() < 570  # 500 each, standard deviation 21


def test_what_was_fitted_survives_the_disk(tmp_path: Path) -> None:
    fitted = fit_nearest_neighbors(labelled(), 3, 10)
    save_module(tmp_path / "neighbors.safetensors", fitted)
    read = NearestNeighbors(**load_tensors(tmp_path / "neighbors.safetensors")[0])
    features = torch.randn(1, 6, 4, 5)
    torch.testing.assert_close(read(features), fitted(features))


@pytest.mark.parametrize("k", [0, 41])
def test_an_impossible_k_is_refused(k, fails) -> None:
    with fails(f"k = {k}", "40 rows"):
        NearestNeighbors(BANK, k)


def test_no_pixels_are_refused(fails) -> None:
    with fails("0 rows"):
        fit_nearest_neighbors([], 3)
