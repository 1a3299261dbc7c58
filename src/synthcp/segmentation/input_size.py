"""At which size a network sees an image: as it is, resized, padded to a multiple, or in tiles."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from synthcp.errors import InputError
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

    def applied(self, network: Callable[[Tensor], Prediction], image: Tensor) -> Prediction:
        """Show an image (B, C, *S) to a network by this rule.

        Returns:
            The prediction at the size to which the rule resizes the image; padding is cut off again.

        Raises:
            InputError: The rule has another number of axes than the image.
        """
        if self.policy in ("resize", "tile") and len(self.size) != image.ndim - 2:
            raise InputError(f"input size {self} has {len(self.size)} axes, the image {image.ndim - 2}; match them")
        if self.policy == "short":
            shape = image.shape[2:]
            size = [round(side * self.size[0] / min(shape)) for side in shape]
            return network(resize(image, size, antialias=True))
        if self.policy == "resize":
            return network(resize(image, self.size, antialias=True))
        if self.policy == "pad":
            return _padded(network, image, [-(-side // self.size[0]) * self.size[0] for side in image.shape[2:]])
        return self._tiles(network, image) if self.policy == "tile" else network(image)

    def _tiles(self, network: Callable[[Tensor], Prediction], image: Tensor) -> Prediction:
        def maps(tile: Tensor) -> list[Tensor]:
            prediction = network(tile)
            return [prediction.logits, *prediction.layers]

        def whole(padded: Tensor) -> Prediction:
            logits, *layers = tiled(maps, padded, self.size, [side // 4 for side in self.size])
            return Prediction(logits, tuple(layers))

        return _padded(whole, image, [max(pair) for pair in zip(image.shape[2:], self.size, strict=True)])


def _padded(network: Callable[[Tensor], Prediction], image: Tensor, size: list[int]) -> Prediction:
    """Repeat the border of an image up to a size, and cut the same share off what the network says."""
    shape = image.shape[2:]
    margins = [margin for side, wanted in zip(shape, size, strict=True) for margin in (wanted - side, 0)]
    prediction = network(F.pad(image, margins[::-1], mode="replicate")) if any(margins) else network(image)
    return Prediction(_cut(prediction.logits, shape, size), tuple(_cut(m, shape, size) for m in prediction.layers))


def _cut(features: Tensor, shape: tuple[int, ...], padded: list[int]) -> Tensor:
    for axis, (side, wanted) in enumerate(zip(shape, padded, strict=True), start=2):
        features = features.narrow(axis, 0, max(1, round(features.shape[axis] * side / wanted)))
    return features
