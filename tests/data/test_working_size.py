from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthcp.data.base import Dataset
from synthcp.data.transforms import resize, resize_labels
from synthcp.data.working_size import Prepared, require_whole, resized
from synthcp.errors import DataError
from synthcp.records import Classes, Sample


class Few(Dataset):
    """Three samples of 30 x 44 pixels: with everything, without a mask, without labels."""

    def __init__(self, ignore_index: int = 255) -> None:
        self.classes = Classes(("a", "b"), ((0, 0, 0), (1, 1, 1)), ignore_index)
        self.ids = ["x", "y", "z"]

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index)
        label_map = torch.randint(2, (30, 44), generator=generator)
        label_map[3:9] = self.classes.ignore_index
        image, mask = torch.rand(3, 30, 44, generator=generator), torch.rand(30, 44, generator=generator) < 0.3
        known, marked = index != 2, index == 0
        return Sample(
            self.ids[index], image, label_map if known else None, mask if marked else None, f"g{index}", label_map == 1
        )


@pytest.mark.parametrize("ignore_index", [255, -1, 254, 1000, 65535])
@pytest.mark.parametrize("side", [0, 15])
def test_samples_are_resized_and_kept_to_the_nearest_of_256_values(side: int, ignore_index: int) -> None:
    dataset = Few(ignore_index)
    prepared = Prepared(dataset, side)
    size = (30, 44) if side == 0 else (15, 22)
    for sample, packed in zip(dataset, prepared, strict=True):
        assert (packed.id, packed.group) == (sample.id, sample.group)
        assert packed.image.shape[1:] == size and packed.image.dtype == torch.float32
        torch.testing.assert_close(packed.image, resize(sample.image, size), atol=0.5001 / 255, rtol=0)
        assert (packed.label_map is None) == (sample.label_map is None)
        assert (packed.anomaly_mask is None) == (sample.anomaly_mask is None)
        if sample.label_map is not None and packed.label_map is not None:
            assert packed.label_map.dtype == torch.int64
            assert packed.label_map.equal(resize_labels(sample.label_map, size))
        if sample.anomaly_mask is not None and packed.anomaly_mask is not None:
            assert packed.anomaly_mask.equal(resize_labels(sample.anomaly_mask, size))
        assert sample.roi is not None and packed.roi is not None
        assert packed.roi.equal(resize_labels(sample.roi.long(), size).bool())


def test_the_samples_are_read_once() -> None:
    class Counting(Few):
        reads = 0

        def __getitem__(self, index: int) -> Sample:
            self.reads += 1
            return super().__getitem__(index)

    dataset, calls = Counting(), list[tuple[int, int]]()
    prepared = Prepared(dataset, 15, lambda *call: calls.append(call))
    assert prepared[1].image.equal(prepared[1].image)
    assert dataset.reads == 3 and calls == [(1, 3), (2, 3), (3, 3)]


def test_volumes_too() -> None:
    volume = Sample("v", torch.rand(1, 8, 10, 12), torch.randint(2, (8, 10, 12)))
    small = resized(volume, 4)
    assert small.image.shape == (1, 4, 5, 6) and small.label_map is not None and small.label_map.shape == (4, 5, 6)


class Narrow(Few):
    """Few, whose second image is that long."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return Sample(sample.id, torch.rand(3, *self.size)) if index == 1 else sample


@pytest.mark.parametrize("size", [(16, 513), (513, 16)])
def test_what_is_too_long_to_be_seen_as_a_whole_is_not_learnt_from(fails, size: tuple[int, ...]) -> None:
    with fails(f"y: the image is {size}", "more than 32 times as long as wide", "cut it", error=DataError):
        Prepared(Narrow(size), 15)


@pytest.mark.parametrize("size", [(16, 512), (512, 16), (2, 2, 100)])
def test_up_to_that_it_is(size: tuple[int, ...]) -> None:
    require_whole(replace(Few()[0], image=torch.rand(3, *size)))
