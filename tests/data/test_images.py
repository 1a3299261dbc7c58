from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from PIL import ExifTags, Image

from synthcp.data.images import image_of_picture, read_image, read_label_map, read_mask
from synthcp.errors import DataError


def _png(width: int, height: int, bits: int, kind: int, rows: list[bytes] | None = None) -> bytes:
    """A PNG made by hand: grey is kind 0, RGB 2, grey with alpha 4; without rows it has a size and no pixels."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0), b"IEND": b""}
    if rows is not None:
        pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
        chunks = {b"IHDR": chunks[b"IHDR"], b"IDAT": pixels, b"IEND": b""}
    written = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def _png_header(width: int, height: int) -> bytes:
    return _png(width, height, 8, 2)


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
            (_png_header(16, 20000), "truncated"),  # no aspect is refused
            (_png_header(50000, 16), "truncated"),
            (_png_header(50001, 1600), "50001x1600; images are at most 50000 pixels long; cut"),
            (_png_header(16, 50001), "16x50001"),
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


def test_a_picture_of_12_bits_is_the_same_before_and_after_it_is_loaded(tmp_path):
    levels = np.random.default_rng(0).integers(0, 4096, (16, 16))
    first, second = levels.reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8).tobytes()
    tags = [(256, 16), (257, 16), (258, 12), (259, 1), (262, 1), (273, 146), (277, 1), (278, 16)]
    tags.append((279, len(packed)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(28) + packed)
    expected = torch.from_numpy(levels / 4095).float()[None]
    torch.testing.assert_close(read_image(path), expected)
    with Image.open(path) as picture:
        torch.testing.assert_close(image_of_picture(picture), read_image(path))
        picture.load()
        torch.testing.assert_close(image_of_picture(picture), read_image(path))


@pytest.mark.parametrize("exif", [b"no TIFF header", b"II*\0\xff\xff\xff\x7f", b"II*\0\x08\0\0\0\x05\0\x12\x01"])
def test_damaged_exif_does_not_harm_the_pixels(tmp_path, exif):
    Image.new("RGB", (16, 24), (255, 255, 255)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
    assert torch.equal(read_image(tmp_path / "a.jpg"), torch.ones(3, 24, 16))


@pytest.mark.parametrize(
    ("name", "mode", "channels", "texts"),
    [
        ("a.jpg", "CMYK", None, ("a.jpg", "CMYK", "convert it to RGB first")),
        ("a.tif", "I", None, ("a.tif has pixels of mode I", "8 or 16 bits", "say which value is white", "numpy.clip")),
        ("a.tif", "LAB", None, ("a.tif has pixels of mode LAB", "write it as RGB")),
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


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_labels_of_few_bits_are_the_stored_integers(tmp_path, bits):
    per_byte = 8 // bits
    stored = np.arange(32 * 16).reshape(16, 32) % 2**bits
    packed = sum(stored[:, place::per_byte] << (8 - bits * (place + 1)) for place in range(per_byte))
    (tmp_path / "a.png").write_bytes(_png(32, 16, bits, 0, [row.astype(np.uint8).tobytes() for row in packed]))
    assert torch.equal(read_label_map(tmp_path / "a.png"), torch.from_numpy(stored))
    levels = torch.from_numpy(stored)[None].float() / (2**bits - 1)  # of an image, the largest integer is white
    torch.testing.assert_close(read_image(tmp_path / "a.png"), levels)


@pytest.mark.parametrize("white", [0, 1], ids=["0 is white", "0 is black"])
@pytest.mark.parametrize("mode", ["1", "L"])
def test_labels_in_tiff_are_the_stored_integers_whatever_is_white(tmp_path, mode, white):
    stored = np.arange(16 * 24, dtype=np.uint8).reshape(16, 24) % (2 if mode == "1" else 7)
    picture = Image.fromarray(stored.astype(bool) if mode == "1" else stored)
    picture.save(tmp_path / "a.tif", tiffinfo={262: white})
    raw = (tmp_path / "a.tif").read_bytes()
    with Image.open(tmp_path / "a.tif") as saved:
        begin = saved.tag_v2[273][0]
    bits = np.frombuffer(raw[begin : begin + stored.size // (8 if mode == "1" else 1)], np.uint8)
    expected = (np.unpackbits(bits) if mode == "1" else bits).reshape(16, 24)  # the bytes of the only strip
    assert np.array_equal(read_label_map(tmp_path / "a.tif").numpy(), expected)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "png"])
def test_16_bits_are_scaled_by_65535(tmp_path, compression):
    stored = (np.arange(16 * 20).reshape(16, 20) * 205).astype(np.uint16)
    path = tmp_path / ("a.png" if compression == "png" else "a.tif")
    Image.fromarray(stored).save(path, **({} if compression in (None, "png") else {"compression": compression}))
    torch.testing.assert_close(read_image(path)[0], torch.from_numpy(stored / 65535).float())


def test_16_bits_whose_0_is_white(tmp_path):
    stored = (np.arange(256).reshape(16, 16) * 200).astype(np.uint16)
    Image.fromarray(stored).save(tmp_path / "a.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "a.tif") as saved:
        assert saved.tag_v2[262] == 0 and np.array_equal(np.array(saved), stored)  # Pillow does not turn it over
    torch.testing.assert_close(read_image(tmp_path / "a.tif")[0], torch.from_numpy(1 - stored / 65535).float())


def test_16_bits_in_colour_and_with_alpha(tmp_path):
    stored = np.arange(16 * 16 * 3).reshape(16, 16, 3) * 85
    (tmp_path / "a.png").write_bytes(_png(16, 16, 16, 2, [row.astype(">u2").tobytes() for row in stored]))
    colour = read_image(tmp_path / "a.png")
    assert np.abs(colour.permute(1, 2, 0).numpy() - stored / 65535).max() < 1 / 255
    (tmp_path / "b.png").write_bytes(_png(16, 16, 16, 4, [row.astype(">u2").tobytes() for row in stored[..., :2]]))
    grey = read_image(tmp_path / "b.png")
    assert grey.shape == (1, 16, 16) and np.abs(grey[0].numpy() - stored[..., 0] / 65535).max() < 1 / 255


def test_floats_in_0_to_1_are_read_and_others_refused_with_a_remedy_that_works(tmp_path, fails):
    levels = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "a.tif")
    torch.testing.assert_close(read_image(tmp_path / "a.tif")[0], torch.from_numpy(levels))
    for name, values in {"b": 4000 * levels, "c": levels - 1, "d": np.where(levels > 0.9, np.nan, levels)}.items():
        Image.fromarray(values).save(tmp_path / f"{name}.tif")
    with fails("b.tif holds floats from 0 to 4000; images are in [0, 1]; ", "numpy.uint16", error=DataError):
        read_image(tmp_path / "b.tif")
    for name in ("c", "d"):
        with fails(f"{name}.tif holds floats", error=DataError):
            read_image(tmp_path / f"{name}.tif")
    _follow_remedy(tmp_path / "b.tif", white=4000)
    torch.testing.assert_close(read_image(tmp_path / "remedied.png")[0], torch.from_numpy(levels), atol=2e-5, rtol=0)


def _follow_remedy(path: Path, **names: float) -> None:
    """Run the expression that the message ends with, and save what comes out."""
    with pytest.raises(DataError) as refused:
        read_image(path, names.get("channels"))
    code = "PIL." + str(refused.value).partition("PIL.")[2]
    code = code.replace(f'"{path.name}"', repr(str(path)))
    eval(code, {"PIL": PIL, "numpy": np, "WHITE": names.get("white")}).save(path.with_name("remedied.png"))


@pytest.mark.parametrize("deep", [np.uint16, np.float32])
def test_deep_grey_for_a_monitor_of_colours_is_refused_with_a_remedy_that_works(tmp_path, deep):
    levels = np.linspace(0, 1, 256).reshape(16, 16)
    Image.fromarray((levels * (65535 if deep is np.uint16 else 1)).astype(deep)).save(tmp_path / "a.tif")
    _follow_remedy(tmp_path / "a.tif", channels=3)
    image = read_image(tmp_path / "remedied.png", channels=3)
    assert np.abs(image.numpy() - levels).max() < 1.01 / 255


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBX", "YCbCr", "1"])
def test_other_modes_of_tiff_are_read_as_pillow_shows_them(tmp_path, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert("L" if mode in ("LA", "1", "PA") else "RGB").convert(mode)
    picture.save(tmp_path / "a.tif")
    expected = np.array(picture.convert("RGB"))
    image = read_image(tmp_path / "a.tif")
    assert len(image) == (1 if mode in ("LA", "1") else 3)
    assert np.array_equal((image * 255).round().byte().permute(1, 2, 0).expand(16, 20, 3).numpy(), expected)


def test_tiff_of_pixels_that_are_not_read(tmp_path, fails):
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(tmp_path / "a.tif", tiffinfo={339: 5})  # complex numbers
    with fails("a.tif is a TIFF file that is damaged or of pixels that are not read", "or as PNG", error=DataError):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("read", [read_label_map, read_mask])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_lossy_labels(tmp_path, fails, read, name):
    picture = Image.fromarray(np.eye(32, dtype=np.uint8))
    how = {"format": "TIFF", "compression": "jpeg"} if name == "a.tif" else {"format": "JPEG"}
    picture.save(tmp_path / name, **how)
    with fails(f"{name} is compressed as JPEG, which changes values", "labels and masks are PNG", error=DataError):
        read(tmp_path / name)


def test_a_mask_of_1_and_255_says_not_what_is_void(tmp_path, fails, write_label):
    with fails("a.png holds both 1 and 255", "smiyc:", error=DataError):
        read_mask(write_label(tmp_path / "a.png", 1, 255))
    assert read_mask(write_label(tmp_path / "a.png", 1, 2, 3)).sum() == 3 * 28  # numbered objects
