from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from synthcp.data.images import read_image, read_label_map, read_mask
from synthcp.errors import DataError


def _png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + end


def test_rgb_values_and_axes(tmp_path):
    pixels = np.zeros((16, 24, 3), dtype=np.uint8)
    pixels[2, 5] = (255, 51, 102)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", channels=3)
    assert image.shape == (3, 16, 24) and image.dtype == torch.float32
    torch.testing.assert_close(image[:, 2, 5], torch.tensor([1.0, 0.2, 0.4]))
    assert image.sum().item() == pytest.approx(1.6)


def test_grey_has_one_channel(tmp_path):
    pixels = np.arange(16 * 20, dtype=np.uint8).reshape(16, 20)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert torch.equal(read_image(tmp_path / "a.png", channels=1), torch.from_numpy(pixels)[None].float() / 255)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_alpha_and_palette_become_rgb(tmp_path, mode):
    pixels = np.full((16, 16, 4), (255, 0, 51, 128), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture = picture if mode == "RGBA" else picture.quantize(4)
    picture.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.mode == mode
    torch.testing.assert_close(read_image(tmp_path / "a.png")[:, 3, 4], torch.tensor([1.0, 0.0, 0.2]))


def test_palette_with_transparent_entries_is_read_without_warning(tmp_path, write_image):
    path = write_image(tmp_path / "a.png", mode="P")
    with Image.open(path) as opaque:
        expected = np.array(opaque.convert("RGB"))
        opaque.save(path, transparency=bytes(range(256)))
    assert np.array_equal((read_image(path) * 255).round().byte().permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_orientation_turns_images_upright(tmp_path, suffix):
    pixels = np.zeros((16, 32), dtype=np.uint8)
    pixels[:, 24:] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be shown turned clockwise: the right end goes down
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", exif=exif)
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.shape == (1, 32, 16)
    assert image[0, 26:].min() > 0.9 and image[0, :22].max() < 0.1


def test_label_map_keeps_grey_values(tmp_path, write_label):
    label_map = read_label_map(write_label(tmp_path / "a.png", 7, 255))
    assert label_map.dtype == torch.int64 and label_map.shape == (20, 28)
    assert label_map[:3, 0].tolist() == [7, 255, 0]


def test_label_map_of_a_palette_file_holds_indices_not_colours(tmp_path):
    indices = np.tile(np.array([0, 3, 1, 2], dtype=np.uint8), (16, 4))
    picture = Image.new("P", (16, 16))
    picture.putdata(indices.ravel().tolist())
    picture.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200, 90, 90, 90])
    picture.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.mode == "P"
    assert torch.equal(read_label_map(tmp_path / "a.png"), torch.from_numpy(indices).long())


@pytest.mark.parametrize("value", [1, 255])
def test_mask_is_true_where_not_zero(tmp_path, write_label, value):
    mask = read_mask(write_label(tmp_path / "a.png", 0, value))
    assert mask.dtype == torch.bool and mask.sum() == 28 and mask[1].all()


def test_mask_of_one_bit(tmp_path):
    bits = np.eye(16, 20, k=2, dtype=bool)
    Image.fromarray(bits).save(tmp_path / "a.png")
    assert torch.equal(read_mask(tmp_path / "a.png"), torch.from_numpy(bits))


def _grey(*size: int) -> bytes:
    stream = BytesIO()
    Image.new("L", size).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("read", [read_image, read_label_map, read_mask])
class TestBrokenFiles:
    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (None, "no such file"),
            (b"", "empty (0 bytes)"),
            (b"not pixels, but words\n" * 9, "is not an image"),
            (_png_header(30000, 30000), "more than 100 megapixels"),
            (_png_header(10000, 10001), "more than 100 megapixels"),
            (_png_header(10000, 10000), "truncated"),  # the size is within the limit, only the pixels are missing
            (_grey(1, 1), "1x1; images are at least 16x16"),
            (_grey(40, 15), "40x15"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_content(self, tmp_path, fails, read, content, text):
        if content is not None:
            (tmp_path / "a.png").write_bytes(content)
        with fails("a.png", text, error=DataError):
            read(tmp_path / "a.png")

    @pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
    @pytest.mark.parametrize("kept", [0.5, 0.9])
    def test_truncated(self, tmp_path, fails, read, write_image, suffix, kept):
        path = write_image(tmp_path / f"a.{suffix}", mode="L", size=(64, 64))
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with fails(path.name, error=DataError):
            read(path)


@pytest.mark.parametrize("exif", [b"no TIFF header", b"II*\0\xff\xff\xff\x7f", b"II*\0\x08\0\0\0\x05\0\x12\x01"])
def test_damaged_exif_does_not_harm_the_pixels(tmp_path, exif):
    Image.new("RGB", (16, 24), (255, 255, 255)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
    assert torch.equal(read_image(tmp_path / "a.jpg"), torch.ones(3, 24, 16))


@pytest.mark.parametrize(
    ("name", "mode", "channels", "texts"),
    [
        ("a.jpg", "CMYK", None, ("a.jpg", "CMYK", "convert it to RGB first")),
        ("a.png", "I;16", None, ("a.png", "I;16")),
        ("a.png", "L", 3, ("a.png is grey (1 channel)", "fitted on RGB (3 channels)", 'convert("RGB")')),
        ("a.png", "RGB", 1, ("a.png is RGB (3 channels)", "fitted on grey (1 channel)", 'convert("L")')),
    ],
)
def test_images_of_other_channels(tmp_path, fails, write_image, name, mode, channels, texts):
    with fails(*texts, error=DataError):
        read_image(write_image(tmp_path / name, mode=mode), channels)


@pytest.mark.parametrize("read", [read_label_map, read_mask])
def test_colour_label(tmp_path, fails, write_image, read):
    with fails("a.png is a colour picture (mode RGB)", "class indices", error=DataError):
        read(write_image(tmp_path / "a.png"))


@pytest.mark.parametrize("read", [read_label_map, read_mask])
def test_deep_label(tmp_path: Path, fails, read):
    Image.fromarray(np.full((16, 16), 300, dtype=np.uint16)).save(tmp_path / "a.png")
    with fails("a.png has pixels of mode I;16", "8-bit", "uint8", error=DataError):
        read(tmp_path / "a.png")
