"""Drawn organs with a lesion: a seeded, endless data set of volumes with exact labels, for the demo and the tests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from zlib import crc32

import torch
from torch import Tensor

from synthcp.data.base import Dataset, Source
from synthcp.data.classes import default_colors
from synthcp.data.fields import blurred, smooth_field
from synthcp.errors import InputError
from synthcp.records import Classes, Sample
from synthcp.system.spec import COUNT, size, whole_number

SPLITS = ("train", "val", "test")
CLASSES = Classes(("background", "organ", "lesion"), default_colors(3), background=0)
ORGAN, LESION = 1, 2
BODY_TONE, ORGAN_TONE, LESION_CONTRAST = 0.35, 0.55, 0.4
LESION_SHARE = 0.85


@dataclass(frozen=True)
class PhantomsConfig:
    """How many phantoms, of what size; raises InputError for a value that makes none.

    Attributes:
        count: Number of volumes; volume i does not depend on it.
        size: (X, Y, Z), in voxels.
        seed: Not negative; other seeds give other organs.
        split: "train", "val" or "test"; splits share no organ.
    """

    count: int = 200
    size: tuple[int, int, int] = (32, 32, 32)
    seed: int = 0
    split: str = "train"

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InputError(f"phantoms: no split {self.split!r}; choose one of: {', '.join(SPLITS)}")
        if min(self.size) < 8:
            raise InputError(f"phantoms: {'x'.join(map(str, self.size))} voxels are too few; use at least 8x8x8")
        if self.count < 1 or self.seed < 0:
            raise InputError(f"phantoms: count {self.count}, seed {self.seed}; use count >= 1 and seed >= 0")


class Phantoms(Dataset):
    """Volumes of a warped organ; volume i is a function of seed, split, size and i alone.

    Most organs hold a lesion of any size and place, darker or brighter than the organ, some hardly different from it.
    Blobs elsewhere look like it. The image is uneven in brightness, blurred and noisy, each by chance, so that a
    segmenter finds some lesions well and others not at all.
    """

    def __init__(self, config: PhantomsConfig | None = None) -> None:
        self.config = config or PhantomsConfig()
        self.classes = CLASSES
        self.ids = tuple(f"{self.config.split}-{index:04d}" for index in range(self.config.count))

    def __getitem__(self, index: int) -> Sample:
        """Draw one volume."""
        sample_id = self.ids[index]
        generator = torch.Generator().manual_seed(crc32(f"{self.config.seed} {sample_id}".encode()))
        artist = _Artist(self.config.size, generator)
        label_map = artist.labels()
        return Sample(sample_id, artist.image(label_map), label_map, group=sample_id)


class _Artist:
    """Draws one volume; places and lengths are shares of half the volume, which reaches from -1 to 1 on each axis."""

    def __init__(self, size: tuple[int, int, int], generator: torch.Generator) -> None:
        self.size = size
        self.generator = generator
        axes = [(2 * torch.arange(side) + 1) / side - 1 for side in size]
        self.places = torch.stack(torch.meshgrid(*axes, indexing="ij"))  # (3, X, Y, Z)

    def labels(self) -> Tensor:
        """An organ, and mostly a lesion in it; shape (X, Y, Z), int64."""
        label_map = torch.zeros(self.size, dtype=torch.int64)
        organ = self._blob(self._uniform(3, -0.25, 0.25), self._uniform(3, 0.4, 0.7), warp=0.12)
        label_map[organ] = ORGAN
        if self._chance() < LESION_SHARE:
            inside = organ.nonzero()
            voxel = inside[int(self._chance() * len(inside))]
            centre = self.places[(slice(None), *voxel)]
            label_map[organ & self._blob(centre, self._uniform(3, 0.75, 1.25) * self._uniform(1, 0.12, 0.4))] = LESION
        return label_map

    def image(self, label_map: Tensor) -> Tensor:
        """What a scanner would see of the labels; shape (1, X, Y, Z), in [0, 1]."""
        tones = BODY_TONE + 0.05 * smooth_field(self.size, 6, self.generator)[0]
        for _ in range(2 + int(3 * self._chance())):
            blob = self._blob(self._uniform(3, -1, 1), self._uniform(3, 0.1, 0.3))
            tones[blob & (label_map == 0)] = ORGAN_TONE + self._contrast()
        tones[label_map == ORGAN] = ORGAN_TONE
        tones[label_map == LESION] = ORGAN_TONE + self._contrast()
        seen = blurred(tones[None], 0.4 + 0.5 * self._chance())
        seen = seen * torch.exp2(0.15 * smooth_field(self.size, 3, self.generator))
        noise = (0.02 + 0.08 * self._chance()) * torch.randn(seen.shape, generator=self.generator)
        return torch.clamp(seen + noise, 0, 1)

    def _blob(self, centre: Tensor, radii: Tensor, warp: float = 0.06) -> Tensor:
        """An ellipsoid, each voxel of which was moved a little; shape (X, Y, Z), bool."""
        moved = self.places + warp * torch.cat([smooth_field(self.size, 4, self.generator) for _ in range(3)])
        return (((moved - centre.view(-1, 1, 1, 1)) / radii.view(-1, 1, 1, 1)) ** 2).sum(dim=0) < 1

    def _contrast(self) -> float:
        """Of a lesion to the organ: darker or brighter, often nearly none."""
        drawn = 2 * self._chance() - 1
        return LESION_CONTRAST * drawn * math.sqrt(abs(drawn))

    def _uniform(self, count: int, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=self.generator)

    def _chance(self) -> float:
        return float(torch.rand((), generator=self.generator))


SOURCE = Source(
    lambda _, split, **options: Phantoms(PhantomsConfig(split=split, **options)),
    {"count": COUNT, "seed": whole_number, "size": size("XxYxZ", "32x32x24")},
    root="nothing",
)
