"""A drawn street: its ground, its rows of buildings and gardens, and where everything else stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import hypot, pi

import numpy as np
from numpy.random import Generator

from synthcp.data.drawn.canvas import NEAREST, Canvas, Label, Plane
from synthcp.data.drawn.light import Color
from synthcp.data.drawn.things import CLOTHES, GLASS, PAINTS, SKINS, car, dim, lamp, person, pick, sign, tree, vary

LEAVES: tuple[Color, ...] = ((64, 104, 46), (78, 112, 44), (52, 92, 58), (112, 118, 48), (176, 112, 44), (146, 84, 46))
WALLS: tuple[Color, ...] = (
    (178, 92, 74), (204, 176, 134), (222, 212, 192), (150, 152, 156), (188, 190, 192), (140, 112, 92),
    (214, 188, 120), (168, 182, 170), (160, 172, 190), (196, 142, 122), (108, 100, 100), (232, 228, 220),
)  # fmt: skip
DEPTHS = tuple(NEAREST * 1.6**step for step in range(14))
NO_CROSSING = -100.0  # behind the camera


@dataclass(frozen=True)
class Street:
    """What the scenes of one drive share; lengths in metres."""

    road: float  # half the width of it
    pavement: float  # width of each of the two
    asphalt: Color
    paving: Color
    walls: tuple[Color, ...]
    leaves: Color
    green: float  # share of the lots and of the kerb that belongs to trees
    floors: int  # usual number


@dataclass(frozen=True)
class Thing:
    """Something that stands on the ground, with the size of its shadow; paint draws it."""

    x: float
    z: float
    radius: float
    height: float
    paint: Callable[[], None]


def plan_street(rng: Generator) -> Street:
    """The street of one drive."""
    grey = rng.uniform(66, 112)
    lighter = grey + rng.uniform(14, 64)
    warmth = rng.uniform(-4, 14)
    return Street(
        road=rng.uniform(3.6, 5.4),
        pavement=rng.uniform(1.8, 3.8),
        asphalt=(grey, grey, grey + rng.uniform(0, 8)),
        paving=(lighter + warmth, lighter + warmth / 2, lighter),
        walls=tuple(WALLS[index] for index in rng.choice(len(WALLS), 5, replace=False)),
        leaves=vary(rng, LEAVES[rng.integers(len(LEAVES))], 0.15),
        green=rng.uniform(0.1, 0.5),
        floors=int(rng.integers(2, 5)),
    )


def paint_street(canvas: Canvas, street: Street, oddities: list[Thing], rng: Generator) -> None:
    """Paint the whole street from far to near; the oddities are given room among the other things."""
    crossing = rng.uniform(14, 45) if rng.random() < 0.45 else NO_CROSSING
    _clouds(canvas, rng)
    _ground(canvas, street, rng, crossing)
    _markings(canvas, street, rng)
    _horizon(canvas, street, rng)
    _rows(canvas, street, rng, crossing)
    things = [*_kerb(canvas, street, rng), *_traffic(canvas, street, rng, crossing), *_walkers(canvas, street, rng)]
    free = [thing for thing in things if all(hypot(thing.x - odd.x, thing.z - odd.z) > 2.2 for odd in oddities)]
    scene = sorted([*free, *oddities], key=lambda thing: -thing.z)
    for thing in scene:
        canvas.shadow(thing.x, thing.z, thing.radius, thing.height)
    for thing in scene:
        thing.paint()
    if canvas.light.wet:
        _rain(canvas, rng)


def _clouds(canvas: Canvas, rng: Generator) -> None:
    camera, light = canvas.camera, canvas.light
    for _ in range(rng.integers(0, 5)):
        column, row = rng.uniform(0, 2 * camera.center), rng.uniform(0, 0.7) * camera.horizon
        size = rng.uniform(0.06, 0.16) * camera.horizon
        for _ in range(6):
            x, y = column + rng.normal(0, 3) * size, row + rng.normal(0, 0.4) * size
            share = rng.uniform(0.3, 0.6)
            sky = zip(light.zenith, light.horizon, light.tint, strict=True)
            color = tuple((a + share * (b - a)) / tint for a, b, tint in sky)
            canvas.ellipse((x - 2.4 * size, y - size, x + 2.4 * size, y + size), 0, color, Label.SKY)


def _strip(canvas: Canvas, left: float, right: float, near: float, far: float, color: Color, label: Label) -> None:
    canvas.polygon([(left, 0, near), (right, 0, near), (right, 0, far), (left, 0, far)], color, label)


def _ground(canvas: Canvas, street: Street, rng: Generator, crossing: float) -> None:
    road, kerb = street.road, dim(street.paving, 1.15)
    for near, far in pairwise(DEPTHS):
        _strip(canvas, -20 - 3 * far, 20 + 3 * far, near, far, street.paving, Label.PAVEMENT)
        _strip(canvas, -road - 0.2, road + 0.2, near, far, kerb, Label.PAVEMENT)
        _strip(canvas, -road, road, near, far, street.asphalt, Label.ROAD)
    _strip(canvas, -80, 80, crossing, crossing + 6, street.asphalt, Label.ROAD)
    for z in np.arange(1, 20, rng.uniform(1.2, 2.5)).tolist():
        for side in (-1, 1):
            inner, outer = side * (road + 0.2), side * (road + street.pavement)
            _strip(canvas, inner, outer, z, z + 0.06, dim(street.paving, 0.86), Label.PAVEMENT)


def _markings(canvas: Canvas, street: Street, rng: Generator) -> None:
    """Patches of newer or older asphalt, lane marks, and now and then a zebra crossing."""
    road, line = street.road, vary(rng, (214, 212, 204))
    for _ in range(rng.integers(0, 5)):
        x, z, width = rng.uniform(-road, road - 1.5), rng.uniform(3, 30), rng.uniform(0.4, 1.5)
        _strip(canvas, x, x + width, z, z + rng.uniform(0.5, 6), vary(rng, street.asphalt, 0.2), Label.ROAD)
    for z in np.arange(rng.uniform(0, 5), 70, 6) if rng.random() < 0.8 else ():
        _strip(canvas, -0.08, 0.08, z, z + 2.8, line, Label.ROAD)
    zebra = rng.uniform(5, 25)
    for x in np.arange(-road + 0.3, road - 0.5, 1.0) if rng.random() < 0.4 else ():
        _strip(canvas, x, x + 0.5, zebra, zebra + 2.8, line, Label.ROAD)


def _horizon(canvas: Canvas, street: Street, rng: Generator) -> None:
    """Close the far end of the street with houses or woods, or leave it open."""
    kind = rng.integers(3)
    for x in range(-60, 60, 9) if kind < 2 else ():
        if kind == 0:
            plane = Plane(canvas, Label.BUILDING, x, 115)
            _facade(plane, street, rng, 9.5, rng.integers(2, 6) * 3.0)
        else:
            tree(canvas, rng, x, 110, street.leaves)


def _rows(canvas: Canvas, street: Street, rng: Generator, crossing: float) -> None:
    lots: list[tuple[float, int, float]] = []
    for side in (-1, 1):
        z = rng.uniform(-4, 2)
        while z < 105:
            length = rng.uniform(6, 15)
            if crossing - length < z < crossing + 6:
                z = crossing + 6
            lots.append((max(z, 1.0), side, length))
            z += length
    for z, side, length in sorted(lots, reverse=True):
        setback = 1.5 if rng.random() < 0.3 else 0.0
        x = side * (street.road + street.pavement + setback)
        if rng.random() < 0.5 * street.green:
            _garden(canvas, street, rng, x, z, length)
        else:
            _building(canvas, street, rng, x, z, length)


def _building(canvas: Canvas, street: Street, rng: Generator, x: float, z: float, length: float) -> None:
    side, height = np.sign(x), 3.0 * max(1, street.floors + int(rng.integers(-2, 3))) + 0.8
    if rng.random() < 0.5:
        roof = pick(rng, ((120, 66, 54), (84, 82, 88), (104, 88, 76)))
        ridge, top = x + 3.5 * side, height + rng.uniform(1.5, 3)
        corners = [(x, height, z), (x, height, z + length), (ridge, top, z + length), (ridge, top, z)]
        canvas.polygon(corners, roof, Label.BUILDING, (-side, 0))
        canvas.polygon([(x, height, z), (ridge, top, z), (x + 7 * side, height, z)], roof, Label.BUILDING)
    Plane(canvas, Label.BUILDING, x, z, (side, 0.0)).box(0, 0, 9, height, vary(rng, street.walls[0], 0.2))
    _facade(Plane(canvas, Label.BUILDING, x, z, (0.0, 1.0)), street, rng, length, height)


def _facade(plane: Plane, street: Street, rng: Generator, length: float, height: float) -> None:
    wall = pick(rng, street.walls, 0.12)
    trim = pick(rng, ((236, 232, 224), dim(wall, 0.7), dim(wall, 1.15)))
    plane.box(0, 0, length, height, wall)
    plane.box(0, height - 0.4, length, height, trim)
    plane.box(0, 0, length, rng.uniform(0.3, 0.9), dim(wall, 0.75))
    if plane.z > 45:
        return
    plane.label = None
    shop = rng.random() < 0.4
    if shop:
        _shop(plane, rng, length)
    _windows(plane, rng, length, height, trim, first_floor=1 if shop else 0)
    if rng.random() < 0.25:
        _poster(plane, rng, rng.uniform(0, length - 2))


def _windows(plane: Plane, rng: Generator, length: float, height: float, trim: Color, first_floor: int) -> None:
    wide, tall, pitch = rng.uniform(0.8, 1.6), rng.uniform(1.2, 2.0), rng.uniform(2.0, 3.2)
    columns, light = int((length - 0.4) / pitch), plane.canvas.light
    door = rng.integers(columns) if first_floor == 0 else -1
    fates = rng.random((int(height / 3), columns, 2)).tolist()
    for floor in range(first_floor, int(height / 3)):
        for column in range(columns):
            left, bottom = (length - pitch * columns + pitch - wide) / 2 + pitch * column, 3 * floor + 0.9
            lit, tone = fates[floor][column]
            glass: Color = (255, 206, 120) if lit < light.lamps else dim(GLASS, 0.6 + 0.9 * tone)
            if floor == 0 and column == door:
                plane.box(left, 0, left + 1.0, 2.2, dim(trim, 0.45))
                continue
            if plane.z < 25:
                plane.box(left - 0.12, bottom - 0.15, left + wide + 0.12, bottom + tall + 0.1, trim)
            plane.box(left, bottom, left + wide, bottom + tall, glass)


def _shop(plane: Plane, rng: Generator, length: float) -> None:
    awning = pick(rng, PAINTS)
    for left in np.arange(0.4, length - 2.5, 3.0):
        plane.box(left, 0.5, left + 2.5, 2.4, vary(rng, (96, 104, 108), 0.4))
        plane.box(left + 0.2, 0.5, left + 0.9, rng.uniform(1, 1.8), pick(rng, CLOTHES))
    plane.box(0.2, 2.4, length - 0.2, 3.0, awning)


def _poster(plane: Plane, rng: Generator, left: float) -> None:
    """A painted face: a person to the eye, a building by its label."""
    plane.box(left, 0.9, left + 1.5, 2.9, pick(rng, CLOTHES))
    plane.disc(left + 0.75, 2.2, 0.35, 0.45, pick(rng, SKINS))
    plane.polygon([(left + 0.2, 0.9), (left + 1.3, 0.9), (left + 0.75, 1.8)], pick(rng, CLOTHES))


def _garden(canvas: Canvas, street: Street, rng: Generator, x: float, z: float, length: float) -> None:
    side, hedge = np.sign(x), dim(street.leaves, rng.uniform(0.7, 1.0))
    for step in np.arange(length - 2, 0, -rng.uniform(2.5, 4)):
        tree(canvas, rng, x + side * rng.uniform(1.5, 4), z + step, street.leaves)
    height = rng.uniform(0.7, 1.6)
    Plane(canvas, Label.TREE, x, z, (side, 0.0)).box(0, 0, 9, height, hedge)
    plane = Plane(canvas, Label.TREE, x, z, (0.0, 1.0))
    plane.box(0, 0, length, height, hedge)
    for a, b in rng.uniform((0, 0.2), (length, height), (round(120 / (z + 5)), 2)).tolist():
        plane.disc(a, b, 0.25, 0.2, vary(rng, hedge, 0.25))


def _kerb(canvas: Canvas, street: Street, rng: Generator) -> list[Thing]:
    """Trees, lamps, signs and traffic lights along both kerbs."""
    things = []
    for side in (-1, 1):
        z = rng.uniform(3, 9)
        while z < 60:
            x, kind = side * (street.road + rng.uniform(0.4, 0.9)), rng.random()
            if kind < street.green:
                things.append(Thing(x, z, 0.9, 4.0, partial(tree, canvas, rng, x, z, street.leaves)))
            elif kind < street.green + 0.22:
                things.append(Thing(x, z, 0.12, 5.0, partial(lamp, canvas, rng, x, z)))
            elif kind < street.green + 0.5:
                things.append(Thing(x, z, 0.15, 2.5, partial(sign, canvas, rng, x, z)))
            z += rng.uniform(3.5, 9)
    return things


def _traffic(canvas: Canvas, street: Street, rng: Generator, crossing: float) -> list[Thing]:
    """Cars parked at the kerbs, driving ahead, coming towards the camera and crossing."""
    places = []
    for side in (-1, 1):
        z, crowd = rng.uniform(6.5, 12), rng.uniform(0.1, 0.9)
        while z < 70:
            if rng.random() < crowd and not crossing - 4 < z < crossing + 9:
                places.append((side * (street.road - 1.1), z, pi * (side < 0) + rng.normal(0, 0.03)))
            z += rng.uniform(5.5, 8)
    for side in (-1, 1):
        if rng.random() < 0.6:
            places.append((side * (street.road - 2.2) / 2, rng.uniform(8, 35), pi * (side < 0)))
    if crossing > 0 and rng.random() < 0.6:
        places.append((rng.uniform(-5, 5), crossing + 3, rng.choice([-pi / 2, pi / 2])))
    return [Thing(x, z, 1.5, 0.8, partial(car, canvas, rng, x, z, turn)) for x, z, turn in places]


def _walkers(canvas: Canvas, street: Street, rng: Generator) -> list[Thing]:
    """People on the pavements, now and then one on the road."""
    things = []
    for _ in range(rng.integers(3, 11)):
        side, z = rng.choice([-1, 1]), 3.8 + 20 * rng.random() ** 1.5
        x = side * rng.uniform(street.road + 0.4, street.road + street.pavement - 0.3)
        if rng.random() < 0.2:
            x = rng.uniform(-street.road, street.road)
        things.append(Thing(x, z, 0.28, 1.7, partial(person, canvas, rng, x, z)))
    return things


def _rain(canvas: Canvas, rng: Generator) -> None:
    camera = canvas.camera
    reach = camera.center / camera.focal
    for a, b, fall in rng.uniform((-3, -1, 0.05), (3, 1, 0.15), (90, 3)):
        x, y = camera.x + 2 * reach * a, camera.height + 2 * b
        drop = [(x, y, 2), (x + 0.012, y, 2), (x + 0.03, y + fall, 2), (x + 0.02, y + fall, 2)]
        canvas.glaze(drop, (225, 230, 238), 0.3)
