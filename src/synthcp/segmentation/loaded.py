"""A network as its maker left it, before it is adapted to the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class LoadedNetwork:
    """A network, and what is known about it.

    Attributes:
        network: From a normalised image (B, C, *S) to logits, in any of the forms that adapters.logits_in reads.
        class_names: What it calls its classes, in their order; empty when it does not say.
        mean: To which it wants images normalised, per channel; one number serves all.
        std: Likewise.
        features: Where f_M is found, if its kind tells: an entry of the output, or a module; searched when empty.
        fingerprint: Of its file; None takes that of its parameters.
    """

    network: Callable[[Tensor], object]
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    features: str = ""
    fingerprint: str | None = None
