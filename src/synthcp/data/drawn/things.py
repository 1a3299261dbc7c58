"""What stands in a drawn street: trees, lamps, signs, cars and people, each one small function."""

from __future__ import annotations

from math import cos, pi, sin
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from synthcp.data.drawn.canvas import Canvas, Label, Plane
from synthcp.data.drawn.light import Color

PAINTS: tuple[Color, ...] = (
    (34, 36, 42), (58, 62, 70), (226, 226, 226), (168, 172, 178), (168, 34, 34), (36, 64, 128), (96, 104, 112),
    (206, 168, 60), (52, 92, 78), (120, 150, 178),
)  # fmt: skip
CLOTHES: tuple[Color, ...] = (
    (40, 42, 54), (52, 70, 104), (150, 44, 48), (74, 96, 62), (196, 188, 172), (110, 96, 84), (216, 164, 64),
    (128, 130, 136), (92, 58, 104), (60, 110, 130),
)  # fmt: skip
SKINS: tuple[Color, ...] = ((232, 196, 168), (204, 158, 124), (150, 106, 78), (98, 68, 52))
SIGNS: tuple[Color, ...] = ((196, 36, 40), (36, 78, 168), (228, 188, 48), (232, 232, 232))
GLASS: Color = (64, 74, 88)


def pick(rng: Generator, colors: tuple[Color, ...], spread: float = 0.08) -> Color:
    """One of the colours, varied a little."""
    return vary(rng, colors[rng.integers(len(colors))], spread)


def vary(rng: Generator, color: Color, spread: float = 0.08) -> Color:
    """The colour, a little lighter or darker and of a slightly other hue."""
    brightness = 1 + spread * rng.uniform(-1, 1)
    hue = rng.uniform(1 - 0.4 * spread, 1 + 0.4 * spread, 3).tolist()
    return tuple(value * brightness * factor for value, factor in zip(color, hue, strict=True))


def dim(color: Color, factor: float) -> Color:
    """The colour times a factor."""
    return tuple(value * factor for value in color)


def tree(canvas: Canvas, rng: Generator, x: float, z: float, leaves: Color) -> None:
    """A tree with a round or a tall crown; nearer trees get more leaves."""
    height, leaves = rng.uniform(3.5, 8.0), vary(rng, leaves, 0.15)
    wide, tall = (0.3, 0.34) if rng.random() < 0.75 else (0.14, 0.4)
    plane = Plane(canvas, Label.TREE, x, z, size=height)
    trunk = vary(rng, (86, 68, 54), 0.2)
    plane.polygon([(-0.03, 0), (0.03, 0), (0.018, 0.5), (-0.018, 0.5)], trunk)
    for angle in rng.uniform(0, 2 * pi, 5):
        plane.disc(0.45 * wide * cos(angle), 0.64 + 0.45 * tall * sin(angle), 0.6 * wide, 0.6 * tall, dim(leaves, 0.75))
    tufts = min(50, round(160 * wide * height / z))
    for angle, radius, tone in rng.random((tufts, 3)).tolist():
        a, b = radius**0.5 * cos(2 * pi * angle), radius**0.5 * sin(2 * pi * angle)
        light = 0.72 + 0.4 * tone + 0.22 * b - 0.2 * a * canvas.light.sun * np.sign(canvas.light.shadow[0])
        plane.disc(wide * a, 0.64 + tall * b, 0.19 * wide, 0.13 * tall, dim(leaves, light))


def lamp(canvas: Canvas, rng: Generator, x: float, z: float) -> None:
    """A street lamp that leans over the road."""
    plane = Plane(canvas, Label.POLE, x, z, (-np.sign(x), 0.0), rng.uniform(0.8, 1.1))
    metal = vary(rng, (92, 96, 98), 0.4)
    plane.box(-0.1, 0, 0.1, 5.6, metal)
    plane.box(-0.07, 5.5, 1.4, 5.65, metal)
    plane.box(0.9, 5.38, 1.5, 5.52, (255, 226, 150) if canvas.light.lamps > 0.1 else (210, 210, 205))


def sign(canvas: Canvas, rng: Generator, x: float, z: float) -> None:
    """A traffic sign or a traffic light on its post."""
    plane = Plane(canvas, Label.POLE, x, z, size=rng.uniform(1.0, 1.3))
    plane.box(-0.07, 0, 0.07, 2.5, vary(rng, (120, 122, 124), 0.2))
    plane.label, color = Label.SIGN, pick(rng, SIGNS)
    kind = rng.integers(4)
    if kind == 0:
        plane.box(-0.17, 2.1, 0.17, 3.1, (40, 42, 40))
        glow = rng.integers(3)
        plane.disc(0, 2.28 + 0.32 * glow, 0.12, 0.12, ((60, 220, 120), (250, 190, 60), (250, 60, 50))[glow])
    elif kind == 1:
        plane.polygon([(-0.42, 2.1), (0.42, 2.1), (0, 2.85)], (200, 40, 42))
        plane.polygon([(-0.24, 2.2), (0.24, 2.2), (0, 2.63)], (236, 234, 228))
    elif kind == 2:
        plane.disc(0, 2.5, 0.4, 0.4, color)
        plane.disc(0, 2.5, 0.26, 0.26, (236, 234, 228))
    else:
        plane.box(-0.4, 2.1, 0.4, 2.9, color)
        plane.box(-0.24, 2.42, 0.24, 2.58, (240, 240, 236))


class _Body(NamedTuple):
    """Shape of a car: half length, half width, height of bonnet and roof, and where the cabin begins and ends."""

    length: float
    width: float
    bonnet: float
    roof: float
    cabin: tuple[float, float, float, float]


BODIES = (
    _Body(2.2, 0.88, 0.92, 1.45, (-1.9, -1.2, 0.5, 1.2)),
    _Body(1.9, 0.84, 0.94, 1.50, (-1.85, -1.5, 0.5, 1.1)),
    _Body(2.3, 0.95, 1.10, 1.80, (-2.25, -2.0, 0.6, 1.3)),
    _Body(2.6, 1.00, 1.10, 2.40, (-2.6, -2.55, 1.5, 2.1)),
)


def car(canvas: Canvas, rng: Generator, x: float, z: float, turn: float) -> None:
    """A car; turn is the angle of its nose from the viewing direction, in radians."""
    body, paint = BODIES[rng.choice(4, p=[0.4, 0.3, 0.2, 0.1])], pick(rng, PAINTS)
    nose, right = (sin(turn), cos(turn)), (cos(turn), -sin(turn))
    to_camera = (canvas.camera.x - x, -z)
    side = body.width * np.sign(right[0] * to_camera[0] + right[1] * to_camera[1])
    end = body.length * np.sign(nose[0] * to_camera[0] + nose[1] * to_camera[1])
    front = bool(end > 0)
    _car_top(Plane(canvas, Label.CAR, x, z, nose), body, paint, front)
    _car_flank(Plane(canvas, Label.CAR, x + side * right[0], z + side * right[1], nose), body, paint)
    _car_face(Plane(canvas, Label.CAR, x + end * nose[0], z + end * nose[1], right), body, paint, front)


def _car_top(middle: Plane, body: _Body, paint: Color, front: bool) -> None:
    """The bonnet, the windscreen or the rear window, and the roof; a runs to the nose."""
    rear, roof_rear, roof_front, screen = body.cabin
    low, high = (screen, roof_front) if front else (rear, roof_rear)
    bonnet, roof, width = body.bonnet, body.roof, body.width
    middle.sheet((-body.length, bonnet), (body.length, bonnet), width, dim(paint, 1.1))
    middle.sheet((low, bonnet), (high, roof), width, dim(paint, 0.95))
    middle.sheet((low + 0.1 * (high - low), bonnet + 0.06), (high, roof - 0.1), width - 0.1, GLASS)
    if middle.canvas.camera.height > roof:
        middle.sheet((roof_rear, roof), (roof_front, roof), width, dim(paint, 1.1))


def _car_flank(plane: Plane, body: _Body, paint: Color) -> None:
    rear, roof_rear, roof_front, front = body.cabin
    cabin = [(rear, body.bonnet), (roof_rear, body.roof), (roof_front, body.roof), (front, body.bonnet)]
    plane.box(-body.length + 0.2, 0.12, body.length - 0.2, 0.4, (24, 24, 28))
    plane.box(-body.length, 0.32, body.length, body.bonnet, paint)
    plane.polygon(cabin, paint)
    middle, base, top = (roof_rear + roof_front) / 2, body.bonnet, body.roof - 0.1
    plane.polygon([(rear + 0.25, base), (roof_rear + 0.1, top), (middle - 0.06, top), (middle - 0.06, base)], GLASS)
    plane.polygon([(middle + 0.06, base), (middle + 0.06, top), (roof_front - 0.05, top), (front - 0.25, base)], GLASS)
    for wheel in (-0.62 * body.length, 0.62 * body.length):
        plane.disc(wheel, 0.33, 0.34, 0.33, (22, 22, 24))
        plane.disc(wheel, 0.33, 0.17, 0.17, (140, 142, 146))


def _car_face(face: Plane, body: _Body, paint: Color, front: bool) -> None:
    wide = body.width
    for side in (-1, 1):
        face.box(side * 0.75 * wide - 0.12, 0, side * 0.75 * wide + 0.12, 0.4, (22, 22, 24))
    face.box(-wide, 0.28, wide, body.bonnet, paint)
    face.box(-wide, 0.28, wide, 0.46, dim(paint, 0.6))
    lights: Color = (250, 246, 220) if front else (190, 26, 30)
    for side in (-1, 1):
        face.box(side * 0.8 * wide - 0.16, 0.62, side * 0.8 * wide + 0.16, 0.8, lights)
    face.box(-0.26, 0.46, 0.26, 0.58, (226, 224, 210))


def person(canvas: Canvas, rng: Generator, x: float, z: float) -> None:
    """Somebody who walks or stands; in the rain often under an umbrella."""
    plane = Plane(canvas, Label.PERSON, x, z, (rng.choice([-1.0, 1.0]), 0.0), rng.uniform(0.65, 1.08))
    coat, trousers, skin = pick(rng, CLOTHES, 0.2), pick(rng, CLOTHES[:6], 0.2), pick(rng, SKINS)
    stride, hem = rng.uniform(0.03, 0.26), rng.uniform(0.55, 0.9)
    for foot in (-stride, stride):
        plane.polygon([(foot - 0.07, 0), (foot + 0.09, 0), (0.12, 0.9), (-0.1, 0.9)], trousers)
    plane.polygon([(-0.2, hem), (0.2, hem), (0.23, 1.38), (0.1, 1.5), (-0.1, 1.5), (-0.23, 1.38)], coat)
    swing = rng.uniform(-0.15, 0.3)
    plane.polygon([(-0.05, 1.4), (0.08, 1.4), (swing + 0.1, 0.8), (swing, 0.8)], dim(coat, 0.8))
    plane.disc(0, 1.62, 0.11, 0.14, skin)
    plane.disc(-0.02, 1.69, 0.12, 0.09, vary(rng, (62, 46, 36), 0.5))
    if canvas.light.wet and rng.random() < 0.5:
        plane.polygon([(-0.6, 1.8), (-0.35, 2.05), (0, 2.15), (0.35, 2.05), (0.6, 1.8)], pick(rng, CLOTHES))
