"""What passes between the process of the routes and those that judge: it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from synthcp.verbs.service.limits import Limits

MapKind = Literal["none", "png", "npz", "nifti"]

IMAGE, PREDICTION, MAPS = "image", "prediction", "maps"
"""What the folder of an image holds: its file, the folder of its prediction, that of its maps."""


@dataclass(frozen=True)
class Order:
    """What the workers are to judge with.

    Attributes:
        monitor: Folder of the monitor.
        limits: Of a request.
        workers: Processes that judge.
        threads: Of each; None lets them share the usable cores.
        model: SPEC of another M; None takes the monitor's.
        device: "auto", "cpu", "cuda", ...
        precision: "auto", "fp32" or "bf16".
        trust_code: Whether the monitor's M may be code.
    """

    monitor: Path
    limits: Limits = field(default_factory=Limits)
    workers: int = 1
    threads: int | None = None
    model: str | None = None
    device: str = "auto"
    precision: str = "fp32"
    trust_code: bool = False


@dataclass(frozen=True)
class Asked:
    """One image, and what is asked of it.

    Attributes:
        request: Id of the request.
        name: By which the client calls it, without folder and suffix.
        folder: Of this image alone.
        suffix: Of its file.
        maps: Which maps are wanted.
    """

    request: str
    name: str
    folder: str
    suffix: str
    maps: MapKind = "none"

    @property
    def path(self) -> Path:
        """Of its file."""
        return Path(self.folder) / f"{IMAGE}{self.suffix}"
