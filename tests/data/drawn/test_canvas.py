import numpy as np
import pytest

from synthcp.data.drawn.canvas import NEAREST, Camera, Canvas, Label, Plane
from synthcp.data.drawn.light import Light

CAMERA = Camera(focal=20.0, center=16.0, horizon=10.0, x=1.0, height=2.0)
NOON = Light(zenith=(0, 0, 255), horizon=(255, 255, 255), tint=(1, 1, 1), sun=0.0, haze=0.0)


def labels_of(canvas: Canvas) -> np.ndarray:
    return canvas.finish(np.random.default_rng(0))[1]


def test_projection_by_hand():
    assert CAMERA.project(3.0, 1.0, 8.0) == pytest.approx((16 + 2.5 * 2, 10 + 2.5 * 1))
    assert CAMERA.project(1.0, 2.0, 77.0) == (16.0, 10.0)
    assert CAMERA.project(2.0, 0.0, -5.0) == CAMERA.project(2.0, 0.0, NEAREST)


def test_a_box_is_labelled_where_it_projects():
    canvas = Canvas(24, 32, CAMERA, NOON)
    Plane(canvas, Label.CAR, 2.0, 4.0).box(0.0, 0.4, 1.6, 1.4, (200, 0, 0))
    expected = np.zeros((24, 32), np.int64)
    expected[13:18, 21:29] = Label.CAR
    assert (labels_of(canvas) != expected).sum() <= 13, "at most the border of 5 + 8 pixels, which is rounded outwards"
    assert (labels_of(canvas)[13:18, 21:29] == Label.CAR).all()


def test_size_and_heading_turn_and_stretch_a_plane():
    canvas = Canvas(24, 32, CAMERA, NOON)
    Plane(canvas, Label.SIGN, 1.0, 5.0, (-1.0, 0.0), size=2.0).box(0.5, 0.25, 1.0, 0.75, (0, 200, 0))
    rows, columns = np.nonzero(labels_of(canvas) == Label.SIGN)
    assert rows.min() in (11, 12) and rows.max() in (15, 16)
    assert columns.min() in (7, 8) and columns.max() in (11, 12)


def test_later_paint_hides_earlier_paint_and_a_glaze_keeps_the_labels():
    canvas = Canvas(24, 32, CAMERA, NOON)
    Plane(canvas, Label.BUILDING, -50.0, 9.0).box(0, -50, 100, 50, (90, 90, 90))
    Plane(canvas, Label.TREE, -50.0, 8.0).box(0, -50, 51, 50, (0, 90, 0))
    Plane(canvas, None, -50.0, 7.0).box(0, -50, 100, 50, (0, 0, 0))
    canvas.glaze([(-50, -50, 6), (50, -50, 6), (50, 50, 6), (-50, 50, 6)], (255, 255, 255), 1.0)
    photo, label_map = canvas.finish(np.random.default_rng(0))
    assert (label_map[:, :15] == Label.TREE).all() and (label_map[:, 18:] == Label.BUILDING).all()
    assert photo.mean() > 0.75


def test_haze_and_tint_by_hand():
    light = Light((0, 0, 0), horizon=(200, 100, 50), tint=(0.5, 1.0, 2.0), sun=0.0, haze=np.log(2) / 10)
    assert light.shade((100, 100, 100), 0.0, (0.0, 0.0)) == (50, 100, 200)
    assert light.shade((100, 100, 100), 10.0, (0.0, 0.0)) == pytest.approx((125, 100, 125), abs=1)


def test_walls_that_face_the_sun_are_brighter():
    light = Light((0, 0, 0), (0, 0, 0), (1, 1, 1), sun=0.5, haze=0.0, shadow=(0.8, 0.0))
    to_sun, away = light.shade((100, 0, 0), 1.0, (-1.0, 0.0)), light.shade((100, 0, 0), 1.0, (1.0, 0.0))
    assert to_sun[0] > 100 > away[0]


def test_wet_ground_mirrors_what_stands_above_the_horizon():
    def ground_red(wet: float) -> float:
        canvas = Canvas(24, 32, CAMERA, Light((255, 0, 0), (255, 0, 0), (1, 1, 1), sun=0.0, haze=0.0, wet=wet))
        canvas.polygon([(-99, 0, 1), (99, 0, 1), (99, 0, 200), (-99, 0, 200)], (0, 0, 90), Label.ROAD)
        photo, label_map = canvas.finish(np.random.default_rng(0))
        return float(photo[label_map == Label.ROAD][:, 0].mean())

    assert ground_red(0.5) > ground_red(0.0) + 0.3
