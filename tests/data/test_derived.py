from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.degradation import Degraded
from synthcp.data.derived import Derived
from synthcp.data.heldout import HeldOutClasses
from synthcp.data.subset import Subset
from synthcp.data.volume_preparation import VolumePreparation
from synthcp.data.working_size import Prepared
from synthcp.records import Classes, Sample


class Known(Dataset):
    """Four samples with everything that a data set can know; each label map holds the classes 0, 1, 2."""

    classes = Classes(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    ids = ("w", "x", "y", "z")
    preparation = VolumePreparation((1, 1, 2))
    patch = (4, 4, 4)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], torch.full((1, 4, 4, 4), index / 4), self.label_map(index), group=f"g{index}")

    def label_map(self, index: int) -> Tensor:
        return torch.arange(64).reshape(4, 4, 4).roll(index) % 3

    def grid(self, index: int) -> str:  # stands in for a grid
        return f"grid {index}"


WRAPPERS: dict[str, tuple[Callable[[Dataset], Dataset], list[int]]] = {
    "all": (Derived, [0, 1, 2, 3]),
    "subset": (lambda dataset: Subset(dataset, [3, 1]), [3, 1]),
    "subset of a subset": (lambda dataset: Subset(Subset(dataset, [3, 2, 1]), [2, 0]), [1, 3]),
    "prepared": (lambda dataset: Prepared(dataset, 0, patch=dataset.patch), [0, 1, 2, 3]),
    "degraded": (lambda dataset: Degraded(dataset, (0, 0)), [0, 1, 2, 3]),
    "held out": (lambda dataset: HeldOutClasses(dataset, ["b"], "test"), [0, 1, 2, 3]),
}
CHANGED: dict[str, list[int]] = {"held out": [0, 255, 1], "hidden": [0, 255, 2]}
"""What becomes of the classes."""


@pytest.mark.parametrize("name", WRAPPERS)
def test_all_that_is_known_is_handed_on(name: str) -> None:
    known, (wrap, indices) = Known(), WRAPPERS[name]
    dataset = wrap(known)
    assert list(dataset.ids) == [sample.id for sample in dataset] == [known.ids[index] for index in indices]
    assert dataset.preparation == known.preparation and dataset.patch == known.patch
    assert dataset.groups == [sample.group for sample in dataset] == [f"g{index}" for index in indices]
    becomes = torch.tensor(CHANGED.get(name, [0, 1, 2]))
    for place, index in enumerate(indices):
        assert dataset.grid(place) == f"grid {index}"
        torch.testing.assert_close(dataset[place].image, known[index].image, atol=1 / 255, rtol=0)
        for label_map in (dataset.label_map(place), dataset[place].label_map):
            assert label_map is not None and label_map.equal(becomes[known.label_map(index)])
