"""Which M a monitor watches: what is stored of it, so that the same one can be opened again."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synthcp.errors import InputError
from synthcp.ranges import check_ranges
from synthcp.segmentation.catalogue import BUILT_IN, SEGMENTERS
from synthcp.segmentation.output import Output

LARGEST_PROBE = 2**28
"""Pixels or voxels of the image by which a model is tried."""


@dataclass(frozen=True)
class ModelSettings:
    """M of a monitor.

    Attributes:
        spec: One of SEGMENTERS, which synthcp fits itself, or the SPEC of a model that somebody brought; of a Python
            object its name, by which nobody can open it again.
        features: Where f_M is, as found or as chosen: the module whose input it is, an entry of M's output, or
            "logits"; "" where M has none or is built in.
        layers: Number of feature maps that M shows; 0 for predictions on disk.
        probe_size: Size of the image by which M was tried when it was opened first.
        fingerprint: Of M's weights, "" where they cannot be seen.
        note: What was decided without being asked when M was opened, such as which of its classes are the data's; of a
            built-in one, from which weights it starts.
        output: What M returns, see segmentation.output.
        trunk: Of a built-in one, by its name; empty takes the usual one.

    Raises:
        InputError: A number is outside its range.
    """

    spec: str = BUILT_IN
    features: str = ""
    layers: int = SEGMENTERS[BUILT_IN].layers
    probe_size: tuple[int, ...] = ()
    fingerprint: str = ""
    note: str = ""
    output: Output = "logits"
    trunk: str = ""

    def __post_init__(self) -> None:
        check_ranges(self, layers=(0, 64), probe_size=(1, 2**14))
        if len(self.probe_size) not in (0, 2, 3) or math.prod(self.probe_size) > LARGEST_PROBE:
            raise InputError(f"probe_size {self.probe_size} is no size of an image; it has two or three moderate sides")

    @property
    def is_built_in(self) -> bool:
        """Whether synthcp fits M itself, on images of the working size."""
        return self.spec in SEGMENTERS

    @property
    def lent_trunk(self) -> str:
        """Name of the trunk from which F's encoder may start; empty where it is the usual one, or F cannot."""
        return self.trunk if self.is_built_in and SEGMENTERS[self.spec].trunk == "any" else ""

    @property
    def identity(self) -> tuple[str, str]:
        """What tells M from another one: SPEC and fingerprint."""
        return self.spec, self.fingerprint

    def in_words(self) -> str:
        """What was opened, and what was decided about it, in one line."""
        blind = "predictions on disk: error map and class quality, but no anomaly map, which needs a live model"
        seen = f"f_M is {self._feature_place()}" if self.layers else blind
        built_on = f"built on {self.trunk}" if self.trunk else ""
        return "; ".join(filter(None, (f"M: {self.spec}", built_on, seen, self.note)))

    def _feature_place(self) -> str:
        if self.is_built_in:
            return "the input of its classifier"
        return "the logits themselves" if self.features == "logits" else f"the input of {self.features or 'its head'}"

    @property
    def feature_distances(self) -> int:
        """In how many ways M compares image and synthesis (see FeatureDistance.feature_distances)."""
        return 1 + self.layers if self.layers else 0
