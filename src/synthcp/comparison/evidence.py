"""What F looks at: an image, its synthesis, and what M says of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from synthcp.nn.padding import at_least


@dataclass(frozen=True)
class Evidence:
    """What F looks at; every part at the size of the image.

    Attributes:
        image: x, shape (B, C, *S), in [0, 1].
        synthesis: x_hat, same shape; None in direct prediction, where the image itself stands in for it.
        logits: Of M for the image, shape (B, L, *S).
        feature_distances: What M finds different between image and synthesis, shape (B, 1 + layers, *S), or no channel
            at all when M cannot look at the synthesis; see FeatureDistance.feature_distances.
        objectness: How far what M sees is from a blank canvas, shape (B, layers, *S), see FeatureDistance.objectness;
            the anomaly score alone asks for it, so it may be missing.
    """

    image: Tensor
    synthesis: Tensor | None
    logits: Tensor
    feature_distances: Tensor
    objectness: Tensor | None = None

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Evidence:
        """Return it with every part changed in the same way."""
        synthesis = None if self.synthesis is None else change(self.synthesis)
        objectness = None if self.objectness is None else change(self.objectness)
        return Evidence(change(self.image), synthesis, change(self.logits), change(self.feature_distances), objectness)

    def at_least(self, size: Sequence[int]) -> Evidence:
        """Return it with its border repeated up to a size."""
        return self.mapped(lambda part: at_least(part, size, None))
