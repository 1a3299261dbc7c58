"""One image in every form that a caller may have it in is judged as its file is; all else is refused in one line."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image

from synthcp.config.scales import VOLUME_SCALES
from synthcp.config.variants import VARIANTS
from synthcp.data.drawn.phantoms import CLASSES
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.volume_preparation import VolumePreparation
from synthcp.errors import DataError
from synthcp.monitor.in_memory import image_in_memory
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network, build_segmenter
from synthcp.monitor.settings import MonitorSettings
from synthcp.report.pictures import image_picture
from synthcp.segmentation.settings import ModelSettings
from synthcp.system.runtime import Runtime

HEIGHT, WIDTH = 50, 83
SIXTEEN_BITS = 257  # 255 * 257 = 65535


@pytest.fixture(scope="module")
def picture():
    return image_picture(Scenes(ScenesConfig(count=1, height=HEIGHT, width=WIDTH, split="test"))[0].image)


@pytest.fixture(scope="module")
def pixels(picture):
    return np.array(picture)


@pytest.fixture(scope="module")
def expected(monitor, picture, tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "a.png"
    picture.save(path)
    return monitor.assess(path)


def assert_equal(one, other):
    for field in fields(one):
        first, second = getattr(one, field.name), getattr(other, field.name)
        assert torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second, field.name


def transparent(picture):
    picture = picture.copy()
    picture.putalpha(77)
    return picture


def turned(picture):
    """As a camera on its side stores it."""
    stored = picture.transpose(Image.Transpose.ROTATE_90)
    stored.getexif()[0x0112] = 6
    return stored


FORMS = {
    "bytes, channels last": lambda pixels: pixels,
    "bytes, channels first": lambda pixels: pixels.transpose(2, 0, 1),
    "bytes, not to be written": lambda pixels: np.broadcast_to(pixels, pixels.shape),
    "bytes, mirrored twice in place": lambda pixels: pixels[::-1].copy()[::-1],
    "16 bits": lambda pixels: pixels.astype(np.uint16) * SIXTEEN_BITS,
    "16 bits of another machine": lambda pixels: (pixels.astype(np.uint16) * SIXTEEN_BITS).astype(">u2"),
    "float32": lambda pixels: pixels.astype(np.float32) / 255,
    "float64": lambda pixels: pixels / 255,
    "float64 of another machine": lambda pixels: (pixels / 255).astype(">f8"),
    "long double": lambda pixels: (pixels / 255).astype(np.longdouble),
    "float tensor": lambda pixels: torch.from_numpy(pixels).movedim(-1, 0).float() / 255,
    "double tensor": lambda pixels: torch.from_numpy(pixels).movedim(-1, 0).double() / 255,
    "byte tensor": lambda pixels: torch.from_numpy(pixels).movedim(-1, 0),
    "tensor of 16 bits": lambda pixels: torch.from_numpy(pixels.astype(np.uint16) * SIXTEEN_BITS).movedim(-1, 0),
    "tensor with gradient": lambda pixels: (torch.from_numpy(pixels).movedim(-1, 0) / 255).requires_grad_(),
    "picture": Image.fromarray,
    "picture with alpha": lambda pixels: transparent(Image.fromarray(pixels)),
    "picture on its side": lambda pixels: turned(Image.fromarray(pixels)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_judged_as_the_file_is(monitor, pixels, expected, form):
    before = pixels.copy()
    assert_equal(monitor.assess(FORMS[form](pixels)), expected)
    assert (pixels == before).all()


def test_half_precision_is_the_nearest_half(monitor, pixels):
    halves = (pixels / 255).astype(np.float16)
    assert image_in_memory(halves, monitor.settings).numpy().tolist() == halves.transpose(2, 0, 1).tolist()
    assert_equal(monitor.assess(torch.from_numpy(halves).movedim(-1, 0)), monitor.assess(halves))


def test_a_palette_is_read_as_its_file_is(monitor, picture, tmp_path):
    palette = picture.quantize(32)
    palette.save(tmp_path / "palette.png")
    assert_equal(monitor.assess(palette), monitor.assess(tmp_path / "palette.png"))


def test_grey_has_one_channel_or_none(monitor, pixels):
    settings, grey = replace(monitor.settings, channels=1), pixels[..., 0]
    wanted = torch.from_numpy(grey)[None] / 255
    for form in (grey, grey[..., None], grey[None], torch.from_numpy(grey)[None], Image.fromarray(grey)):
        assert image_in_memory(form, settings).equal(wanted)


FLOATS = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
ARRAY = FLOATS.numpy()
NAN = FLOATS.where(torch.arange(WIDTH) > 0, torch.nan)


@pytest.mark.parametrize(
    ("image", "texts"),
    [
        (FLOATS * 255, ("values from", "to 25", "must be in [0, 1]", "divide by 255")),
        (FLOATS * 1.1, ("must be in [0, 1]",)),
        ((FLOATS - 0.45) / 0.225, ("values from -", "must be in [0, 1]", "leave out the normalisation")),
        ((FLOATS * 255).double().numpy(), ("must be in [0, 1]",)),
        (FLOATS.double().numpy() * 1e300, ("NaN or infinite",)),
        (NAN, ("150 values that are NaN or infinite", "give them a value")),
        (NAN.numpy(), ("150 values that are NaN or infinite",)),
        (FLOATS / 0, ("NaN or infinite",)),
        (FLOATS[:1], ("1 channels", "fitted on 3", "convert it")),
        (torch.cat([FLOATS, FLOATS[:1]]), ("4 channels", "fitted on 3")),
        (FLOATS.movedim(0, -1), ("50 channels", "fitted on 3", "image.movedim(-1, 0)")),
        (np.zeros((HEIGHT, WIDTH, 4), np.uint8), ("(50, 83, 4)", "3 channels", "convert it")),
        (np.zeros((3, 40, 3), np.uint8), ("(3, 40, 3)", "may be the first axis or the last", "torch.from_numpy")),
        (np.zeros((HEIGHT, WIDTH), np.uint8), ("(50, 83)", "(C, H, W)")),
        (FLOATS[None], ("(1, 3, 50, 83)", "(C, H, W)", "without a batch")),
        (ARRAY[None], ("(1, 3, 50, 83)", "without a batch")),
        (torch.tensor(0.5), ("()", "(C, H, W)")),
        (np.float32(0.5), ("float32", "path of a file")),
        (torch.zeros(3, 0, WIDTH), ("(0, 83)", "too small")),
        (np.zeros((0, WIDTH, 3)), ("(0, 83)", "too small")),
        (np.zeros((15, WIDTH, 3), np.uint8), ("(15, 83)", "too small", "16")),
        (FLOATS.int(), ("torch.int32", "float in [0, 1], uint8 or uint16", "convert it")),
        (FLOATS.long().numpy(), ("torch.int64", "uint8 or uint16")),
        (FLOATS.to(torch.int8), ("torch.int8",)),
        (FLOATS > 0.5, ("torch.bool",)),
        (ARRAY > 0.5, ("torch.bool",)),
        (FLOATS.to(torch.complex64), ("torch.complex64",)),
        (ARRAY.astype(complex), ("complex128", "convert it")),
        (ARRAY.astype(object), ("object", "convert it")),
        (np.ma.masked_greater(ARRAY, 0.5), ("masked", "image.filled(0)")),
        (ARRAY.tolist(), ("a list", "tensor, a NumPy array, a picture of Pillow or the path of a file")),
        (None, ("a NoneType",)),
        (Image.new("L", (WIDTH, HEIGHT)), ("the picture is grey", "fitted on RGB")),
        (Image.new("CMYK", (WIDTH, HEIGHT)), ("mode CMYK", "convert")),
        (Image.new("RGB", (WIDTH, 15)), ("83x15", "at least 16x16")),
    ],
)
def test_all_else_is_refused(monitor, image, texts, fails):
    with fails(*texts, error=DataError):
        monitor.assess(image)


def test_what_resizing_leaves_beyond_the_range_passes(monitor):
    monitor.assess((FLOATS * 1.00001).clamp(-1e-5, 1.00001))


@pytest.mark.parametrize("judge", [Monitor.predict, Monitor.detect])
def test_prediction_and_detection_hold_to_the_range_as_well(monitor, judge, fails):
    with fails("must be in [0, 1]", error=DataError):
        judge(monitor, 255 * FLOATS[None])
    with fails("torch.uint8", "divide it by 255", error=DataError):
        judge(monitor, FLOATS[None].byte())


SIZE = (20, 24, 16)
VALUES = np.random.default_rng(0).integers(-300, 400, SIZE)


def monitor_of_volumes(preparation):
    torch.manual_seed(0)
    settings = MonitorSettings(
        CLASSES,
        channels=1,
        spatial_dims=3,
        variant=VARIANTS["paper"],
        scale=VOLUME_SCALES["tiny"],
        model=ModelSettings("deeplab"),
        preparation=preparation,
    )
    parts = build_segmenter(settings), build_generator(settings), build_network(settings)
    return Monitor(settings, *parts, Runtime(torch.device("cpu")))


def test_a_volume_in_every_form():
    """Whole numbers are those of a scanner: -160 and less is 0, 240 and more is 1."""
    monitor = monitor_of_volumes(VolumePreparation(window="abdomen"))
    windowed = torch.from_numpy(((VALUES.clip(-160, 240) + 160) / 400).astype(np.float32))[None]
    expected = monitor.assess(windowed)
    raw = VALUES.astype(np.int16)
    floats = windowed.numpy()
    for form in (
        floats,
        floats[0],
        floats[0, ..., None],
        raw,
        raw[None],
        raw.astype(">i2"),
        torch.from_numpy(raw)[None],
    ):
        assert_equal(monitor.assess(form), expected)


@pytest.mark.parametrize("preparation", [None, VolumePreparation((1.5, 1.5, 1.5), "abdomen")])
def test_whole_numbers_of_a_volume_without_window_or_spacing_are_refused(preparation, fails):
    with fails("volume is torch.int16", "spacing", "give the file", error=DataError):
        monitor_of_volumes(preparation).assess(VALUES.astype(np.int16))


@pytest.mark.parametrize(
    ("volume", "texts"),
    [
        (VALUES.astype(np.float32), ("values from -300 to 399", "of a volume give the file")),
        (np.zeros((2, *SIZE)), ("(2, 20, 24, 16)", "1 channels")),
        (np.zeros(SIZE[:2]), ("(20, 24)", "(C, D, H, W)")),
        (torch.zeros(SIZE), ("(20, 24, 16)", "(C, D, H, W)")),
        (Image.new("L", (32, 32)), ("a picture is flat", "fitted on volumes")),
        (VALUES > 0, ("torch.bool",)),
    ],
)
def test_other_volumes_are_refused(volume, texts, fails):
    with fails(*texts, error=DataError):
        monitor_of_volumes(VolumePreparation(window="abdomen")).assess(volume)
