"""A data set: noise, brighter where the second class is."""

import torch

from synthcp.data.base import Dataset, Source
from synthcp.records import Classes, Sample
from synthcp.system.spec import whole_number


class Toy(Dataset):
    def __init__(self, split: str, count: int = 8) -> None:
        self.classes = Classes(("dark", "bright"), ((0, 0, 0), (255, 255, 255)))
        self.ids = [f"{split}{index}" for index in range(count)]

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index + 100 * len(self.ids[index]))
        label_map = torch.rand(4, 6, generator=generator).gt(0.5).repeat_interleave(8, 0).repeat_interleave(8, 1).long()
        image = (0.5 * label_map + 0.5 * torch.rand(3, 32, 48, generator=generator)).float()
        odd = torch.zeros(32, 48, dtype=torch.bool)
        odd[:8, :8] = self.ids[index].startswith("test")
        return Sample(self.ids[index], image, label_map, odd)


SOURCE = Source(lambda _, split, **options: Toy(split, **options), {"count": whole_number}, root="nothing")
