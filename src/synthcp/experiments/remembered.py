"""Many heads judge the same drawing: G draws it once, and M looks at it once."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.records import Prediction
from synthcp.synthesis.base import Generator


class RememberedGenerator(Generator):
    """A generator that keeps its last drawing until it is shown another label map object.

    Args:
        generator: G.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        self.patch = generator.patch
        self._last: tuple[Tensor, Tensor] | None = None

    def forward(self, label_map: Tensor, image: Tensor) -> Tensor:
        """Draw (shapes: see Generator)."""
        drawing: Tensor = self.generator(label_map, image)
        return drawing

    def draw(self, label_map: Tensor, image: Tensor) -> Tensor:
        """Draw (shapes: see Generator), or return the drawing of this very label map."""
        if self._last is None or self._last[0] is not label_map:
            self._last = label_map, self.generator.draw(label_map, image)
        return self._last[1]


@dataclass(frozen=True)
class RememberedDistance(FeatureDistance):
    """M's comparisons of the image at hand with its drawings, each made once; another image object begins anew."""

    _found: dict[int, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict, compare=False)

    def disagreement(self, image: Tensor, synthesis: Tensor, prediction: Prediction) -> Tensor:
        """Compare (shapes: see FeatureDistance)."""
        if any(seen is not image for seen, _, _ in self._found.values()):
            self._found.clear()
        if id(synthesis) not in self._found:  # the drawing is kept beside its id, which then is nobody else's
            found = super().disagreement(image, synthesis, prediction)
            self._found[id(synthesis)] = image, synthesis, found
        return self._found[id(synthesis)][2]
