"""Broken inputs: each ends with one line on stderr; among good images, those are still scored."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image

from synthcp.data.drawn.scenes import CLASSES, Scenes, ScenesConfig
from synthcp.report.pictures import image_picture, label_picture
from synthcp.report.rows import read_rows

GOOD = ["test-0000", "test-0001", "test-0002"]
BAD = "test-0001a"


@dataclass(frozen=True)
class Inputs:
    """What a command is given: good, until a test breaks it."""

    data: Path
    run: Path
    out: Path
    kind: str = "folder"

    @property
    def images(self) -> Path:
        """The images of the data set."""
        return self.data / "images"

    @property
    def bad_image(self) -> Path:
        """One more image, between the good ones."""
        return self.images / f"{BAD}.png"

    @property
    def label(self) -> Path:
        """The label map of a good image."""
        return self.data / "labels" / f"{GOOD[1]}.png"


Break = Callable[[Inputs], object]
"""Breaks what a command is given, or returns what is given instead."""


@pytest.fixture
def inputs(tmp_path: Path, run_folder: Path) -> Inputs:
    """Three labelled images, the tiny run and an output folder."""
    given = Inputs(tmp_path / "data", run_folder, tmp_path / "out")
    given.images.mkdir(parents=True)
    given.label.parent.mkdir()
    for sample in Scenes(ScenesConfig(count=3, height=48, width=64, split="test")):
        image_picture(sample.image).save(given.images / f"{sample.id}.png")
        label_picture(sample.label_map, CLASSES).save(given.label.with_name(f"{sample.id}.png"))
    write_classes(given, list(CLASSES.names))
    return given


def write_classes(given: Inputs, names: list[str]) -> None:
    (given.data / "classes.json").write_text(json.dumps({"names": names}))


def picture(mode: str, size: tuple[int, int], color: int = 0) -> bytes:
    """A picture of one colour as PNG, or as TIFF where PNG has no such mode."""
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    return buffer.getvalue()


def huge_header() -> bytes:
    """A PNG of 30,000 x 30,000 pixels, by its header."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(100))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def image(content: bytes) -> Break:
    """One more image, between the good ones."""
    return lambda given: given.bad_image.write_bytes(content)


def label(content: bytes) -> Break:
    return lambda given: given.label.write_bytes(content)


def classes(names: list[str]) -> Break:
    return lambda given: write_classes(given, names)


def weights(content: bytes | None) -> Break:
    """Other weights of G; None takes the beginning of the good ones."""

    def with_weights(given: Inputs) -> Inputs:
        run = shutil.copytree(given.run, given.data / "run")
        path = run / "generator.safetensors"
        path.write_bytes(path.read_bytes()[:1000] if content is None else content)
        return replace(given, run=run)

    return with_weights


def without_images(given: Inputs) -> None:
    shutil.rmtree(given.images)
    given.images.mkdir()


def truncated(given: Inputs) -> None:
    content = (given.images / f"{GOOD[0]}.png").read_bytes()
    given.bad_image.write_bytes(content[: len(content) // 2])


def into_a_file(given: Inputs) -> Inputs:
    (given.data / "file").write_text("a file, not a folder")
    return replace(given, out=given.data / "file" / "out")


def no_monitor(given: Inputs) -> Inputs:
    return replace(given, run=given.data)


DRAGON = classes([*CLASSES.names[:-1], "dragon"])
UNKNOWN = "class 'dragon' of the data is unknown to the monitor"
LABEL_200 = label(picture("L", (64, 48), 200))
BROKEN: list[tuple[str, Break, int, str]] = [
    ("score", without_images, 2, "holds no image"),
    ("score", truncated, 3, "truncated"),
    ("score", image(b""), 3, "is empty (0 bytes)"),
    ("score", image(picture("RGB", (1, 1))), 3, "is 1x1"),
    ("score", image(huge_header()), 3, "more than 100 megapixels"),
    ("score", image(b"not an image"), 3, "is not an image"),
    ("score", image(picture("CMYK", (64, 48))), 3, "pixels of mode CMYK"),
    ("score", image(picture("L", (64, 48))), 3, "the monitor was fitted on RGB"),
    ("score", into_a_file, 2, "cannot be written"),
    ("score", no_monitor, 2, "holds no finished monitor"),
    ("score", weights(None), 2, "generator.safetensors is damaged"),
    ("score", weights(pickle.dumps({"weight": [1.0]})), 2, "generator.safetensors is a pickle"),
    ("fit", label(picture("I;16", (64, 48))), 2, "labels and masks are one 8-bit channel"),
    ("fit", label(picture("RGB", (64, 48))), 2, "is a colour picture"),
    ("fit", LABEL_200, 2, "label 200 in test-0001"),
    ("fit", label(picture("L", (63, 48))), 2, "test-0001: the image is (48, 64), its label map (48, 63)"),
    ("fit", lambda given: given.label.unlink(), 2, "test-0001.png has no label"),
    (
        "fit",
        lambda given: shutil.copy(given.label, given.label.with_name("more.png")),
        2,
        "more.png has no image",
    ),
    ("fit", lambda given: replace(given, kind="foldr"), 2, "did you mean folder?"),
    ("calibrate", DRAGON, 2, UNKNOWN),
    ("calibrate", LABEL_200, 2, "label 200 in test-0001"),
    ("calibrate", no_monitor, 2, "holds no finished monitor"),
    ("calibrate", weights(None), 2, "generator.safetensors is damaged"),
    ("eval", DRAGON, 2, UNKNOWN),
    ("audit", no_monitor, 2, "holds no finished monitor"),
    ("audit", DRAGON, 2, UNKNOWN),
    ("audit", lambda given: shutil.rmtree(given.label.parent), 2, "has no label map"),
    ("audit", into_a_file, 2, "cannot be written"),
]


def command(verb: str, given: Inputs) -> list[str]:
    spec = f"{given.kind}:{given.data}"
    arguments = {
        "fit": ["--data", spec, "--scale", "tiny", "--out", str(given.out)],
        "score": [str(given.images), "--monitor", str(given.run), "--out", str(given.out)],
        "eval": ["--data", spec, "--monitor", str(given.run), "--out", str(given.out)],
        "calibrate": ["--data", spec, "--monitor", str(given.run), *"--alpha 0.7 --delta 0.5 --area 0.5".split()],
        "audit": ["--data", spec, "--monitor", str(given.run), "--out", str(given.out)],
    }
    return [verb, *arguments[verb], "--device", "cpu", "--quiet"]


@pytest.mark.parametrize(("verb", "broken", "code", "message"), BROKEN, ids=[f"{row[0]}-{row[3]}" for row in BROKEN])
def test_a_broken_input_is_one_line(synthcp, inputs, verb, broken, code, message):
    instead = broken(inputs)
    given = instead if isinstance(instead, Inputs) else inputs
    ended = synthcp(*command(verb, given))
    assert (ended.code, len(ended.stderr)) == (code, 1), ended.stderr
    assert message in ended.stderr[0]
    if code == 3:
        rows = {row.id: row for row in read_rows(given.out)}
        assert [rows[name].status for name in GOOD] == ["ok"] * 3
        assert rows[BAD].status == "error" and message in rows[BAD].message
        assert len(rows) == 4


def test_the_inputs_are_good_before_a_test_breaks_them(synthcp, inputs):
    run = shutil.copytree(inputs.run, inputs.data / "run")
    for verb in ("calibrate", "audit", "score", "eval"):
        ended = synthcp(*command(verb, replace(inputs, run=run)))
        assert (ended.code, ended.stderr) == (0, [])
    assert {row.status for row in read_rows(inputs.out)} == {"ok"}


def test_one_broken_image_alone_is_an_error(synthcp, inputs):
    inputs.bad_image.write_bytes(huge_header())
    ended = synthcp("score", inputs.bad_image, "--monitor", inputs.run, "--out", inputs.out, "--device", "cpu")
    assert ended.code == 2
    assert ended.stderr == [
        f"error: {inputs.bad_image} has more than 100 megapixels, the limit; cut or shrink it first"
    ]


CITY = "gtFine/train/ulm"
CITY_LABEL = f"{CITY}/ulm_000001_000019_gtFine_labelIds.png"


@pytest.mark.parametrize(
    ("broken", "options", "message"),
    [
        (lambda root: shutil.rmtree(root / "gtFine"), [], "gtFine is missing; Cityscapes"),
        (
            lambda root: shutil.rmtree(root / CITY),
            [],
            "ulm is in {root}/leftImg8bit/train but not in {root}/gtFine/train",
        ),
        (
            lambda root: (root / CITY_LABEL).unlink(),
            [],
            "ulm/ulm_000001_000019 is in {root}/leftImg8bit/train but not in",
        ),
        (
            lambda root: (root / CITY_LABEL).write_bytes(picture("L", (64, 32), 34)),
            [],
            "ulm_000001_000019_gtFine_labelIds.png holds the value 34",
        ),
        (
            lambda root: (root / CITY_LABEL).write_bytes(picture("L", (64, 48), 7)),
            [],
            "the image is (32, 64), its label map (48, 64)",
        ),
        (lambda root: None, ["--imperfect", "kfold:3?rule=group"], "2 groups cannot make 3 folds"),
        (lambda root: None, ["--imperfect", "kfold:3?rule=city"], "fold rule 'city' is unknown"),
    ],
)
def test_broken_cityscapes(synthcp, write_cityscapes, tmp_path, broken, options, message):
    root = write_cityscapes(tmp_path / "cityscapes", {"train": {"aachen": 2, "ulm": 2}})
    broken(root)
    data, out = f"cityscapes:{root}", tmp_path / "run"
    ended = synthcp("fit", "--data", data, "--out", out, "--scale", "tiny", "--device", "cpu", *options)
    assert (ended.code, len(ended.stderr)) == (2, 1) and message.format(root=root) in ended.stderr[0], ended.stderr
    assert not out.exists()
