"""The light of a drawn street: weather and time of day while painting, the camera's flaws when developing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, exp, sin

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Color = tuple[float, ...]
"""(R, G, B), each in 0-255."""
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Light:
    """One weather at one time of day."""

    zenith: Color
    horizon: Color  # of the sky far down, which haze mixes into everything distant
    tint: Color  # factors of the colours of all objects
    sun: float  # direct light, in [0, 1]: cast shadows and the contrast between walls
    haze: float  # share of the light lost per metre
    wet: float = 0.0  # reflections on the ground, in [0, 1]; rain falls where it is positive
    lamps: float = 0.02  # share of the windows that are lit
    shadow: tuple[float, float] = (0.5, 0.3)  # offset (x, z) of a cast shadow per metre of height

    def shade(self, color: Color, distance: float, normal: tuple[float, float]) -> tuple[int, ...]:
        """The colour of a surface at a distance in metres, with the (x, z) of its normal; (0, 0) for the ground."""
        lit = 1 - 0.9 * self.sun * (normal[0] * self.shadow[0] + normal[1] * self.shadow[1])
        clear = exp(-self.haze * distance)
        own, air = lit * clear, 1 - clear
        channels = zip(color, self.tint, self.horizon, strict=True)
        return tuple(min(255, int(value * tint * own + haze * air)) for value, tint, haze in channels)


WEATHERS = (
    Light((92, 146, 212), (200, 219, 234), (1.04, 1.02, 0.97), sun=0.55, haze=0.002),
    Light((176, 183, 190), (208, 210, 210), (0.88, 0.91, 0.95), sun=0.08, haze=0.006),
    Light((62, 70, 122), (238, 158, 116), (0.8, 0.68, 0.74), sun=0.2, haze=0.004, lamps=0.5),
    Light((198, 197, 192), (216, 211, 202), (0.95, 0.93, 0.90), sun=0.1, haze=0.026),
    Light((122, 132, 146), (164, 172, 180), (0.74, 0.79, 0.86), sun=0.0, haze=0.009, wet=0.3, lamps=0.2),
    Light((134, 170, 208), (252, 219, 170), (1.12, 0.98, 0.78), sun=0.6, haze=0.005),
)


def light_of_drive(drive: int, rng: Generator) -> Light:
    """The light that the scenes of one drive share; the weathers take turns, so that few drives show them all."""
    weather = WEATHERS[drive % len(WEATHERS)]
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.9)
    tint = np.multiply(weather.tint, rng.uniform(0.92, 1.06)) * rng.uniform(0.96, 1.04, 3)
    return replace(
        weather,
        tint=tuple(tint.tolist()),
        haze=weather.haze * rng.uniform(0.6, 1.5),
        shadow=(length * sin(angle), length * cos(angle)),
    )


def develop(picture: Image.Image, texture: Array, reflection: Array, horizon: float, rng: Generator) -> Array:
    """Turn a painted picture into a photograph: surface texture, wet ground, lens, exposure and sensor noise.

    Texture is the contrast of the surface, reflection the strength in [0, 1] of the image mirrored at the horizon, both
    of shape (H, W); the photograph is (H, W, 3), in [0, 1].
    """
    softness = rng.uniform(0.0, 0.75)
    photo = np.asarray(picture.filter(ImageFilter.GaussianBlur(softness)), np.float32) / 255
    height, width = texture.shape
    if reflection.any():
        mirrored = photo[np.clip(2 * round(horizon) - np.arange(height), 0, height - 1)]
        photo = photo + reflection[..., None] * (mirrored - photo)
    grain = 0.6 * rng.standard_normal((height, width), np.float32)
    coarse = Image.fromarray(rng.standard_normal((height // 5 + 2, width // 5 + 2), np.float32))
    grain = grain + np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    photo = photo * (1 + texture * grain)[..., None]
    rows, columns = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
    vignette = 1 - rng.uniform(0.0, 0.22) * (rows[:, None] ** 2 + columns**2) / 2
    exposure, contrast = rng.uniform(0.92, 1.12), rng.uniform(0.85, 1.15)
    photo = 0.5 + contrast * (exposure * vignette[..., None] * photo - 0.5)
    photo += rng.uniform(0.004, 0.018) * rng.standard_normal(photo.shape, np.float32)
    return np.asarray(photo.clip(0, 1), np.float32)
