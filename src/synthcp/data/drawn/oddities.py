"""Things that belong in no street, for test scenes: an animal, a sofa, tyres, a balloon, cones, a giant duck."""

from __future__ import annotations

from functools import partial

from numpy.random import Generator

from synthcp.data.drawn.canvas import Canvas, Label, Plane
from synthcp.data.drawn.light import Color
from synthcp.data.drawn.street import Street, Thing
from synthcp.data.drawn.things import dim, pick, vary


def place_oddities(canvas: Canvas, street: Street, count: int, rng: Generator) -> list[Thing]:
    """Stand the given number of oddities on the road or the pavements, where the camera sees them."""
    camera, kerb = canvas.camera, street.road + street.pavement - 0.6
    things = []
    for kind in rng.permutation(len(ODDITIES))[:count]:
        paint, height = ODDITIES[kind]
        z = 4.5 + 13 * rng.random() ** 1.3
        reach = 0.8 * camera.center * z / camera.focal
        left, right = max(-kerb, camera.x - reach), min(kerb, camera.x + reach)
        x = rng.uniform(left, max(left, right))
        plane = Plane(canvas, Label.UNKNOWN, x, z, (rng.choice([-1.0, 1.0]), 0.0), rng.uniform(0.85, 1.25))
        things.append(Thing(x, z, 0.4 * height, height, partial(paint, plane, rng)))
    return things


def animal(plane: Plane, rng: Generator) -> None:
    """A cow or a deer."""
    deer = rng.random() < 0.5
    hide: Color = vary(rng, (150, 104, 66), 0.2) if deer else pick(rng, ((238, 234, 226), (96, 62, 44), (48, 44, 44)))
    belly, thick = (0.95, 0.06) if deer else (0.85, 0.09)
    for foot in (-0.6, -0.42, 0.42, 0.6):
        plane.box(foot - thick, 0, foot + thick, belly, dim(hide, 0.8))
    back, depth = belly + 0.42, 0.3 if deer else 0.6
    trunk = [(-0.72, back), (0.7, back), (0.72, back - depth), (0, back - depth - 0.1), (-0.68, back - depth)]
    plane.polygon(trunk, hide)
    plane.polygon([(-0.7, back), (-0.78, back), (-0.9, belly - 0.25), (-0.84, belly - 0.25)], dim(hide, 0.7))
    plane.polygon([(0.4, back - 0.3), (0.45, back), (0.85, back + 0.45), (1.05, back + 0.25), (0.72, back - 0.3)], hide)
    head = [(0.82, back + 0.5), (1.0, back + 0.48), (1.32, back + 0.2), (1.26, back + 0.06), (0.95, back + 0.1)]
    plane.polygon(head, hide)
    plane.disc(1.28, back + 0.13, 0.09, 0.09, dim(hide, 0.5))
    if deer:
        for tip in (0.7, 1.1):
            plane.polygon([(0.86, back + 0.45), (0.96, back + 0.45), (tip, back + 0.95)], (120, 98, 74))
    for spot in () if deer else (-0.45, -0.05, 0.4):
        plane.disc(spot, belly + rng.uniform(0.0, 0.25), 0.18, 0.14, (44, 38, 36))


def sofa(plane: Plane, rng: Generator) -> None:
    """A sofa with two cushions."""
    cloth = pick(rng, ((168, 62, 84), (70, 128, 124), (198, 146, 60), (112, 84, 150)))
    for foot in (-0.95, 0.95):
        plane.box(foot - 0.06, 0, foot + 0.06, 0.15, (60, 44, 34))
    plane.box(-1.0, 0.4, 1.0, 1.0, dim(cloth, 0.8))
    plane.box(-1.0, 0.15, 1.0, 0.45, dim(cloth, 0.9))
    for left in (-0.8, 0.03):
        plane.box(left, 0.42, left + 0.77, 0.58, dim(cloth, 1.2))
    for arm in (-1.0, 1.0):
        plane.box(arm - 0.16, 0.12, arm + 0.16, 0.68, cloth)
        plane.disc(arm, 0.68, 0.18, 0.1, dim(cloth, 1.1))


def tyres(plane: Plane, rng: Generator) -> None:
    """A pile of tyres, seen from the side, with one leaning against it."""
    for layer in range(rng.integers(3, 7)):
        shift = rng.uniform(-0.08, 0.08)
        plane.disc(shift, 0.12 + 0.22 * layer, 0.5, 0.14, vary(rng, (44, 44, 48), 0.3))
        plane.disc(shift, 0.17 + 0.22 * layer, 0.3, 0.05, (82, 82, 88))
    plane.disc(0.75, 0.36, 0.3, 0.36, (34, 34, 38))
    plane.disc(0.75, 0.36, 0.16, 0.2, (104, 100, 96))


def balloon(plane: Plane, rng: Generator) -> None:
    """A big striped balloon on a weight."""
    color = pick(rng, ((226, 60, 70), (250, 150, 40), (180, 70, 190), (40, 170, 190)))
    plane.box(-0.15, 0, 0.15, 0.18, dim(color, 0.6))
    plane.box(-0.02, 0.15, 0.02, 0.9, (230, 230, 226))
    plane.disc(0, 1.5, 0.62, 0.72, color)
    plane.disc(0, 1.5, 0.34, 0.71, (244, 238, 226))
    plane.disc(0, 1.5, 0.13, 0.7, color)
    plane.disc(-0.24, 1.8, 0.1, 0.14, (255, 250, 244))


def cones(plane: Plane, rng: Generator) -> None:
    """A stack of traffic cones between two single ones."""
    orange = vary(rng, (240, 110, 36), 0.1)
    for middle, layers in ((-0.62, 1), (0.6, 1), (0.0, int(rng.integers(2, 5)))):
        plane.box(middle - 0.3, 0, middle + 0.3, 0.07, dim(orange, 0.7))
        for bottom in (0.05 + 0.22 * layer for layer in range(layers)):
            plane.polygon([(middle - 0.2, bottom), (middle + 0.2, bottom), (middle, bottom + 0.85)], orange)
            band = [(middle - 0.13, bottom + 0.3), (middle + 0.13, bottom + 0.3), (middle + 0.08, bottom + 0.5)]
            plane.polygon([*band, (middle - 0.08, bottom + 0.5)], (246, 244, 238))


def duck(plane: Plane, rng: Generator) -> None:
    """A rubber duck the size of a man."""
    yellow = vary(rng, (252, 208, 44), 0.06)
    plane.disc(0, 0.5, 0.85, 0.5, yellow)
    plane.polygon([(-0.6, 0.7), (-1.0, 1.1), (-0.2, 0.9)], yellow)
    plane.polygon([(-0.5, 0.75), (0.3, 0.7), (0.35, 0.5), (0.1, 0.32), (-0.2, 0.36)], dim(yellow, 0.85))
    plane.polygon([(0.8, 1.2), (1.1, 1.28), (0.8, 1.4)], (240, 120, 40))
    plane.disc(0.45, 1.25, 0.42, 0.42, yellow)
    plane.disc(0.6, 1.36, 0.07, 0.09, (30, 28, 30))


ODDITIES = ((animal, 1.5), (sofa, 1.0), (tyres, 1.2), (balloon, 1.8), (cones, 1.0), (duck, 1.5))
