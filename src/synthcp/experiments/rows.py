"""A row of a table: whose scores it shows."""

from __future__ import annotations

from dataclasses import dataclass

from synthcp.evaluation import RAW


@dataclass(frozen=True)
class Row:
    """A row of a table; its text is the name that is shown.

    Attributes:
        detector: Label of the detector.
        raw: Whether it is a learned detector's raw error map by itself, without M's logits blended in.
        seed: Which fit of the detector this is, if it was fitted again with the same M and G; 0 is the first.
    """

    detector: str
    raw: bool = False
    seed: int = 0

    def __str__(self) -> str:
        again = f", head {self.seed}" if self.seed else ""
        return self.detector + again + RAW * self.raw
