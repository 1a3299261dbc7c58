"""Images and volumes made worse on purpose, so that a segmenter fails on some of them as it does in the field."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import torch
from torch import Tensor

from synthcp.data.base import Dataset, Source
from synthcp.data.derived import Derived
from synthcp.data.fields import blurred, smooth_field
from synthcp.errors import InputError
from synthcp.records import Sample
from synthcp.system.spec import low_high, whole_number

NOISE = 0.3
"""Standard deviation of the noise at severity 1."""
FIELD = 1.4
"""How far the field bends brightness at severity 1: factors of 2^-1.4 to 2^1.4 and more."""
BLUR = 0.08
"""Standard deviation of the blur at severity 1, as a share of the shortest side."""
NODES = 3
"""Of the field along each axis."""


def degrade(image: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Blur an image, bend its brightness by a smooth field and add noise, in a mixture drawn at random.

    Each of the three is scaled by severity and by a weight, of which the largest is 1: at severity 1 an image is
    plainly bad, in one way at least, but an organ in it can still be seen.

    Args:
        image: (C, H, W) or (C, X, Y, Z) in [0, 1].
        severity: In [0, 1]; at 0 the image is returned as it is.
        generator: On the CPU.

    Raises:
        InputError: The severity is outside [0, 1].
    """
    if not 0 <= severity <= 1:
        raise InputError(f"severity {severity} is outside [0, 1]; 0 changes nothing and 1 is the worst")
    if severity == 0:
        return image
    weights = torch.rand(3, generator=generator)
    blur, field, noise = (severity * weights / weights.max()).tolist()
    soft = blurred(image, blur * BLUR * min(image.shape[1:]))
    uneven = soft * torch.exp2(field * FIELD * smooth_field(image.shape[1:], NODES, generator))
    grain = noise * NOISE * torch.randn(image.shape, generator=generator)
    return torch.clamp(uneven + grain, 0, 1)


class Degraded(Derived):
    """Another data set, each image degraded; how much, and in which way, is a function of seed and id alone.

    Args:
        dataset: Of images or volumes; its label maps stay as they are.
        severity: Lowest and highest, each in [0, 1]; uniform between them.
        seed: Other seeds degrade otherwise.

    Raises:
        InputError: The severities are not in order in [0, 1].
    """

    def __init__(self, dataset: Dataset, severity: tuple[float, float] = (0.0, 1.0), seed: int = 0) -> None:
        low, high = severity
        if not 0 <= low <= high <= 1:
            raise InputError(f"severity={low:g}..{high:g}: give the lowest and the highest, from 0 to 1")
        super().__init__(dataset)
        self.severity = severity
        self.seed = seed

    def __getitem__(self, index: int) -> Sample:
        """Return one sample, degraded."""
        sample = super().__getitem__(index)
        generator = torch.Generator().manual_seed(crc32(f"{self.seed} {sample.id}".encode()))
        low, high = self.severity
        severity = low + (high - low) * float(torch.rand((), generator=generator))
        return replace(sample, image=degrade(sample.image, severity, generator))


SOURCE = Source(
    lambda dataset, split, **options: Degraded(dataset, **options),
    {"severity": low_high, "seed": whole_number},
    root="spec",
    example="degraded:decathlon:ROOT?severity=0.2..1",
)
