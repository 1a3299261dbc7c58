"""A canvas that paints picture and label map together, in metres, through a pinhole camera over flat ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import cos, hypot, pi, sin

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from synthcp.data.drawn.light import Array, Color, Light, develop

SUPERSAMPLING = 3  # odd, so that every pixel has a centre to take its label from
NEAREST = 0.8  # metres; nothing is painted closer to the camera
Point = tuple[float, float, float]
"""(x, y, z) in metres."""
Normal = tuple[float, float]
"""(x, z) of the normal of an upright surface."""
Box = tuple[float, float, float, float]
FLAT: Normal = (0.0, 0.0)
"""The normal of the ground."""


class Label(IntEnum):
    """The classes of a drawn street; UNKNOWN is the ignore index."""

    SKY = 0
    BUILDING = 1
    ROAD = 2
    PAVEMENT = 3
    TREE = 4
    POLE = 5
    CAR = 6
    PERSON = 7
    SIGN = 8
    UNKNOWN = 255


TEXTURE = np.full(256, 0.03, np.float32)
TEXTURE[[Label.SKY, Label.BUILDING, Label.ROAD, Label.PAVEMENT, Label.TREE]] = 0.004, 0.03, 0.028, 0.035, 0.08


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along z; x points right, y up, the ground is y = 0, the middle of the road x = 0."""

    focal: float  # length in pixels
    center: float  # column of the vanishing point
    horizon: float  # row of the horizon
    x: float  # metres
    height: float  # metres above the ground

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Column and row of a point given in metres."""
        scale = self.focal / (z if z > NEAREST else NEAREST)
        return self.center + scale * (x - self.x), self.horizon + scale * (self.height - y)


class Canvas:
    """Picture and label map, painted together from far to near; sizes are in pixels of the finished picture."""

    def __init__(self, height: int, width: int, camera: Camera, light: Light) -> None:
        self.camera, self.light = camera, light
        size = (width * SUPERSAMPLING, height * SUPERSAMPLING)
        self._picture, self._labels = Image.new("RGB", size), Image.new("L", size, int(Label.SKY))
        self._brush, self._marker = ImageDraw.Draw(self._picture), ImageDraw.Draw(self._labels)
        self._glaze = ImageDraw.Draw(self._picture, "RGBA")
        depth = np.clip(np.arange(size[1]) / (camera.horizon * SUPERSAMPLING), 0, 1)[:, None] ** 1.5
        sky = np.array(light.zenith) * (1 - depth) + np.array(light.horizon) * depth
        self._picture.paste(Image.fromarray(sky.astype(np.uint8)[:, None]).resize(size))

    def polygon(self, points: Sequence[Point], color: Color, label: Label | None, normal: Normal = FLAT) -> None:
        """Paint a flat surface given by its corners; without a label, the labels stay."""
        corners = self._corners(points)
        if all(column < 0 for column, _ in corners) or all(column > self._picture.width for column, _ in corners):
            return
        distance = sum(point[2] for point in points) / len(points)
        self._brush.polygon(corners, fill=self.light.shade(color, distance, normal))
        if label is not None:
            self._marker.polygon(corners, fill=int(label))

    def ellipse(self, box: Box, distance: float, color: Color, label: Label | None, normal: Normal = FLAT) -> None:
        """Paint an ellipse; box is (left, top, right, bottom) in pixels of the finished picture."""
        left, top, right, bottom = (side * SUPERSAMPLING for side in box)
        corners = (min(left, right), top, max(left, right), bottom)
        self._brush.ellipse(corners, fill=self.light.shade(color, distance, normal))
        if label is not None:
            self._marker.ellipse(corners, fill=int(label))

    def glaze(self, points: Sequence[Point], color: tuple[int, int, int], opacity: float) -> None:
        """Paint a see-through surface, such as a shadow: the picture changes, the labels stay."""
        self._glaze.polygon(self._corners(points), fill=(*color, round(255 * opacity)))

    def shadow(self, x: float, z: float, radius: float, height: float) -> None:
        """Cast the shadow of an upright thing on the ground, and a darker one where it touches the ground."""
        across, along = (offset * height for offset in self.light.shadow)
        length = hypot(across, along) or 1.0
        stretch, turn = 1 + length / (2 * radius), (along / length, across / length)
        ring = [(radius * cos(step * pi / 6), radius * sin(step * pi / 6)) for step in range(12)]
        self.glaze([(x + a, 0.0, z + b) for a, b in ring], (10, 10, 20), 0.35)
        cast = [(a * turn[0] + stretch * b * turn[1], stretch * b * turn[0] - a * turn[1]) for a, b in ring]
        self.glaze([(x + a + across / 2, 0.0, z + b + along / 2) for a, b in cast], (20, 22, 45), self.light.sun * 0.8)

    def finish(self, rng: Generator) -> tuple[Array, NDArray[np.int64]]:
        """Develop the picture, shape (H, W, 3) in [0, 1], and read the label map, shape (H, W)."""
        middle = SUPERSAMPLING // 2
        label_map = np.asarray(self._labels)[middle::SUPERSAMPLING, middle::SUPERSAMPLING].astype(np.int64)
        ground = (label_map == Label.ROAD) | (label_map == Label.PAVEMENT)
        reflection = ground * np.float32(self.light.wet)
        picture = self._picture.reduce(SUPERSAMPLING)
        return develop(picture, TEXTURE[label_map], reflection, self.camera.horizon, rng), label_map

    def _corners(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        corners = (self.camera.project(*point) for point in points)
        return [(column * SUPERSAMPLING, row * SUPERSAMPLING) for column, row in corners]


@dataclass
class Plane:
    """An upright plane standing on the ground at (x, z), painted in its own coordinates: a along, b up."""

    canvas: Canvas
    label: Label | None  # None leaves the labels as they are
    x: float
    z: float
    heading: tuple[float, float] = (1.0, 0.0)  # in x and z
    size: float = 1.0  # metres of one unit of a and b

    def __post_init__(self) -> None:
        across, along = -self.heading[1], self.heading[0]
        away = across * (self.x - self.canvas.camera.x) + along * self.z > 0
        self._normal = (-across, -along) if away else (across, along)

    def polygon(self, points: Sequence[tuple[float, float]], color: Color) -> None:
        """Paint a polygon given by its corners (a, b)."""
        self.canvas.polygon([self._point(a, b) for a, b in points], color, self.label, self._normal)

    def box(self, left: float, bottom: float, right: float, top: float, color: Color) -> None:
        """Paint a rectangle."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], color)

    def disc(self, a: float, b: float, width: float, height: float, color: Color) -> None:
        """Paint an ellipse with the centre (a, b) and the given half axes."""
        camera = self.canvas.camera
        left, row = camera.project(*self._point(a - width, b))
        right, other_row = camera.project(*self._point(a + width, b))
        row, depth = (row + other_row) / 2, self._point(a, b)[2]
        reach = height * self.size * camera.focal / max(depth, NEAREST)
        self.canvas.ellipse((left, row - reach, right, row + reach), depth, color, self.label, self._normal)

    def sheet(self, start: tuple[float, float], end: tuple[float, float], width: float, color: Color) -> None:
        """Paint a rectangle that stands out of the plane by a width on both sides, from (a, b) to (a, b)."""
        (a, b), (c, d), (along, into) = start, end, self.heading
        corners = [(a, b, -width), (a, b, width), (c, d, width), (c, d, -width)]
        world = [(self.x + a * along + side * into, b, self.z + a * into - side * along) for a, b, side in corners]
        self.canvas.polygon(world, color, self.label)

    def _point(self, a: float, b: float) -> Point:
        a, b = a * self.size, b * self.size
        return self.x + a * self.heading[0], b, self.z + a * self.heading[1]
