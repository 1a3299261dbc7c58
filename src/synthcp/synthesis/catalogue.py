"""The generators, one line each; none is imported before it is built, for torch comes with it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthcp.synthesis.base import Generator, GeneratorShape

GENERATORS: dict[str, str] = {
    "spade": "synthcp.synthesis.spade:spade",
    "pix2pixhd": "synthcp.synthesis.pix2pixhd:pix2pixhd",
    "styled": "synthcp.synthesis.style_encoder:styled",
}
"""The function that builds each generator, from a GeneratorShape."""

NO_GENERATOR = "none"
"""In the place of a generator's name: nothing is drawn, and F judges the image and the prediction alone."""


def new_generator(name: str, shape: GeneratorShape) -> Generator:
    """Return one of GENERATORS with fresh weights."""
    build: Callable[[GeneratorShape], Generator] = pkgutil.resolve_name(GENERATORS[name])
    return build(shape)
