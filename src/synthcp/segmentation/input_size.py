"""At which size a network sees an image: as it is, resized, padded to a multiple, or in tiles."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from synthcp.errors import InputError
from synthcp.nn.padding import multiple, padded
from synthcp.nn.spatial import resize
from synthcp.nn.tiling import tiled
from synthcp.records import Prediction

Policy = Literal["keep", "short", "resize", "pad", "tile"]
EXAMPLES = "keep, short:512, resize:512x1024, pad:32 or tile:512x512"


@dataclass(frozen=True)
class InputSize:
    """A rule for the size of a network's input.

    Attributes:
        policy: "keep" shows the image as it is; "short" resizes it to a shorter side, keeping its aspect; "resize" to
            a size; "pad" repeats its border until every side is a multiple; "tile" shows windows of one size that
            overlap by a quarter, and averages the logits.
        size: One number for "short" and "pad", one per axis for "resize" and "tile", none for "keep".
    """

    policy: Policy = "keep"
    size: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> InputSize:
        """Read "keep", "short:512", "resize:512x1024", "pad:32" or "tile:512x512".

        Raises:
            InputError: The text is none of these.
        """
        if text == "keep":
            return cls()
        found = re.fullmatch(r"(short|pad):([1-9]\d*)|(resize|tile):([1-9]\d*(?:x[1-9]\d*)+)", text)
        if not found:
            raise InputError(f"input size {text!r} is unknown; write {EXAMPLES}")
        one, side, several, sides = found.groups()
        policies: dict[str, Policy] = {"short": "short", "pad": "pad", "resize": "resize", "tile": "tile"}
        return cls(policies[one or several], tuple(map(int, (side or sides).split("x"))))

    def __str__(self) -> str:
        return f"{self.policy}:{'x'.join(map(str, self.size))}" if self.size else self.policy

    def seen(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the size to which this rule resizes an image of some shape (*S)."""
        if self.policy == "short":
            return tuple(round(side * self.size[0] / min(shape)) for side in shape)
        return self.size if self.policy == "resize" else tuple(shape)

    def applied(self, network: Callable[[Tensor], Prediction], image: Tensor) -> Prediction:
        """Show an image (B, C, *S) to a network by this rule.

        Returns:
            The prediction at the size to which the rule resizes the image; padding is cut off again.

        Raises:
            InputError: The rule has another number of axes than the image.
        """
        if self.policy in ("resize", "tile") and len(self.size) != image.ndim - 2:
            raise InputError(f"input size {self} has {len(self.size)} axes, the image {image.ndim - 2}; match them")
        if self.policy in ("short", "resize"):
            return network(resize(image, self.seen(image.shape[2:]), antialias=True))
        if self.policy == "pad":
            size = [multiple(side, of=self.size[0]) for side in image.shape[2:]]
            return _joined(padded(partial(_maps, network), image, size))
        return self._tiles(network, image) if self.policy == "tile" else network(image)

    def _tiles(self, network: Callable[[Tensor], Prediction], image: Tensor) -> Prediction:
        def whole(image: Tensor) -> list[Tensor]:
            return tiled(partial(_maps, network), image, self.size, [side // 4 for side in self.size])

        return _joined(padded(whole, image, [max(pair) for pair in zip(image.shape[2:], self.size, strict=True)]))


def _maps(network: Callable[[Tensor], Prediction], image: Tensor) -> list[Tensor]:
    """What a network says of an image, as one list of maps: the logits first."""
    prediction = network(image)
    return [prediction.logits, *prediction.layers]


def _joined(maps: Sequence[Tensor]) -> Prediction:
    logits, *layers = maps
    return Prediction(logits, tuple(layers))
