"""Drawn street scenes: a seeded, endless data set with exact labels, for the demo and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from synthcp.data.base import Dataset, Source
from synthcp.data.drawn.canvas import Camera, Canvas, Label
from synthcp.data.drawn.light import light_of_drive
from synthcp.data.drawn.oddities import place_oddities
from synthcp.data.drawn.street import Street, paint_street, plan_street
from synthcp.errors import InputError
from synthcp.records import Classes, Sample
from synthcp.system.spec import COUNT, size, whole_number

SPLITS = ("train", "val", "test")
SCENES_PER_DRIVE = 10
UNKNOWN_SHARE = 0.6
CLASSES = Classes(
    names=tuple(label.name.lower() for label in Label if label != Label.UNKNOWN),
    colors=(
        (135, 190, 235), (150, 110, 100), (95, 75, 125), (225, 160, 205), (85, 150, 60), (235, 215, 120),
        (40, 70, 200), (225, 45, 70), (250, 170, 20),
    ),
    ignore_index=int(Label.UNKNOWN),
)  # fmt: skip


@dataclass(frozen=True)
class ScenesConfig:
    """How many scenes, of what size; raises InputError for a value that makes none.

    Attributes:
        count: Number of scenes; scene i does not depend on it.
        height: In pixels.
        width: In pixels.
        seed: Not negative; other seeds give other streets.
        split: "train", "val" or "test"; splits share no scene, and only "test" has unknown objects.
        unknowns: Whether test scenes hold unknown objects.
    """

    count: int = 200
    height: int = 96
    width: int = 128
    seed: int = 0
    split: str = "train"
    unknowns: bool = True

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InputError(f"scenes: no split {self.split!r}; choose one of: {', '.join(SPLITS)}")
        if min(self.height, self.width) < 16:
            raise InputError(f"scenes: {self.height} x {self.width} pixels is too small; use at least 16 x 16")
        if self.count < 1 or self.seed < 0:
            raise InputError(f"scenes: count {self.count}, seed {self.seed}; use count >= 1 and seed >= 0")


class Scenes(Dataset):
    """Street scenes; scene i is a function of seed, split and i alone, drawn at the size asked for.

    Ten neighbouring scenes share a drive (the sample's group): one street, one weather, one time of day. In the test
    split, some scenes hold objects of no known class: ignored by the label map, True in the anomaly mask.
    """

    def __init__(self, config: ScenesConfig | None = None) -> None:
        self.config = config or ScenesConfig()
        self.classes = CLASSES
        self.ids = tuple(f"{self.config.split}-{index:04d}" for index in range(self.config.count))

    def __getitem__(self, index: int) -> Sample:
        """Draw one scene."""
        index = range(len(self))[index]
        drive = index // SCENES_PER_DRIVE
        drive_rng, rng = self._generator(drive, 1), self._generator(index, 2)
        light, street = light_of_drive(drive, drive_rng), plan_street(drive_rng)
        canvas = Canvas(self.config.height, self.config.width, self._camera(street, rng), light)
        paint_street(canvas, street, place_oddities(canvas, street, self._unknown_count(rng), rng), rng)
        photo, labels = canvas.finish(rng)
        label_map = torch.from_numpy(labels)
        return Sample(
            id=self.ids[index],
            image=torch.from_numpy(photo).permute(2, 0, 1).contiguous(),
            label_map=label_map,
            anomaly_mask=label_map == CLASSES.ignore_index,
            group=f"{self.config.split}-drive-{drive:03d}",
        )

    def _generator(self, number: int, purpose: int) -> Generator:
        return np.random.default_rng([self.config.seed, SPLITS.index(self.config.split), number, purpose])

    def _unknown_count(self, rng: Generator) -> int:
        chance, count = rng.random(), int(rng.integers(1, 4))
        return count if self.config.split == "test" and self.config.unknowns and chance < UNKNOWN_SHARE else 0

    def _camera(self, street: Street, rng: Generator) -> Camera:
        """Somewhere on the right half of the road, or now and then on the pavement."""
        height, width = self.config.height, self.config.width
        place = rng.uniform(-0.1, 0.75) * street.road if rng.random() < 0.87 else street.road + 0.5 * street.pavement
        return Camera(
            focal=rng.uniform(0.95, 1.25) * (height * width) ** 0.5,
            center=rng.uniform(0.32, 0.68) * width,
            horizon=rng.uniform(0.40, 0.56) * height,
            x=place,
            height=rng.uniform(1.5, 2.2),
        )


def _open(_: None, split: str, size: tuple[int, int] = (96, 128), **options: Any) -> Dataset:
    return Scenes(ScenesConfig(height=size[0], width=size[1], split=split, **options))


SOURCE = Source(_open, {"count": COUNT, "seed": whole_number, "size": size("HEIGHTxWIDTH", "96x128")}, root="nothing")
