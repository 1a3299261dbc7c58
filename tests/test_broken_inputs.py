"""Broken inputs: each ends with one line on stderr; among good images, those are still scored."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
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


Break = Callable[[Inputs], Inputs | None]


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


def empty_folder(given: Inputs) -> None:
    shutil.rmtree(given.images)
    given.images.mkdir()


def truncated_png(given: Inputs) -> None:
    content = (given.images / f"{GOOD[0]}.png").read_bytes()
    given.bad_image.write_bytes(content[: len(content) // 2])


def deep_label(given: Inputs) -> None:
    Image.fromarray(np.zeros((48, 64), np.uint16)).save(given.label)


def colour_label(given: Inputs) -> None:
    Image.new("RGB", (64, 48)).save(given.label)


def label_200(given: Inputs) -> None:
    Image.new("L", (64, 48), 200).save(given.label)


def missing_label(given: Inputs) -> None:
    given.label.unlink()


def extra_label(given: Inputs) -> None:
    shutil.copy(given.label, given.label.with_name("more.png"))


def zero_bytes(given: Inputs) -> None:
    given.bad_image.write_bytes(b"")


def one_pixel(given: Inputs) -> None:
    Image.new("RGB", (1, 1)).save(given.bad_image)


def huge_header(given: Inputs) -> None:
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(100))), chunk(b"IEND", b"")
    given.bad_image.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def text_as_png(given: Inputs) -> None:
    given.bad_image.write_text("not an image")


def unwritable_output(given: Inputs) -> Inputs:
    (given.data / "file").write_text("a file, not a folder")
    return replace(given, out=given.data / "file" / "out")


def wrong_monitor_folder(given: Inputs) -> Inputs:
    return replace(given, run=given.data)


def corrupt_weights(given: Inputs) -> Inputs:
    return with_weights(given, (given.run / "generator.safetensors").read_bytes()[:1000])


def pickled_weights(given: Inputs) -> Inputs:
    return with_weights(given, pickle.dumps({"weight": [1.0]}))


def with_weights(given: Inputs, content: bytes) -> Inputs:
    run = given.data / "run"
    shutil.copytree(given.run, run)
    (run / "generator.safetensors").write_bytes(content)
    return replace(given, run=run)


def unknown_spec(given: Inputs) -> Inputs:
    return replace(given, kind="foldr")


def unknown_class(given: Inputs) -> None:
    write_classes(given, [*CLASSES.names[:-1], "dragon"])


def no_labels(given: Inputs) -> None:
    shutil.rmtree(given.label.parent)


def mixed_sizes(given: Inputs) -> None:
    Image.new("L", (63, 48)).save(given.label)


def cmyk(given: Inputs) -> None:
    path = given.images / f"{BAD}.jpg"
    Image.new("CMYK", (64, 48)).save(path)


def grey(given: Inputs) -> None:
    Image.new("L", (64, 48)).save(given.bad_image)


BROKEN: list[tuple[str, Break, int, str]] = [
    ("score", empty_folder, 2, "holds no image"),
    ("score", truncated_png, 3, "truncated"),
    ("fit", deep_label, 2, "labels and masks are one 8-bit channel"),
    ("fit", colour_label, 2, "is a colour picture"),
    ("fit", label_200, 2, "label 200 in test-0001"),
    ("fit", missing_label, 2, "test-0001.png has no label"),
    ("fit", extra_label, 2, "more.png has no image"),
    ("score", zero_bytes, 3, "is empty (0 bytes)"),
    ("score", one_pixel, 3, "is 1x1"),
    ("score", huge_header, 3, "more than 100 megapixels"),
    ("score", text_as_png, 3, "is not an image"),
    ("score", unwritable_output, 2, "cannot be written"),
    ("score", wrong_monitor_folder, 2, "holds no finished monitor"),
    ("score", corrupt_weights, 2, "generator.safetensors is damaged"),
    ("score", pickled_weights, 2, "generator.safetensors is a pickle"),
    ("fit", unknown_spec, 2, "did you mean folder?"),
    ("calibrate", unknown_class, 2, "class 'dragon' of the data is unknown to the monitor"),
    ("calibrate", label_200, 2, "label 200 in test-0001"),
    ("calibrate", wrong_monitor_folder, 2, "holds no finished monitor"),
    ("calibrate", corrupt_weights, 2, "generator.safetensors is damaged"),
    ("eval", unknown_class, 2, "class 'dragon' of the data is unknown to the monitor"),
    ("fit", mixed_sizes, 2, "test-0001: the image is (48, 64), its label map (48, 63)"),
    ("score", cmyk, 3, "pixels of mode CMYK"),
    ("score", grey, 3, "the monitor was fitted on RGB"),
    ("audit", wrong_monitor_folder, 2, "holds no finished monitor"),
    ("audit", unknown_class, 2, "class 'dragon' of the data is unknown to the monitor"),
    ("audit", no_labels, 2, "has no label map"),
    ("audit", unwritable_output, 2, "cannot be written"),
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


@pytest.mark.parametrize(
    ("verb", "broken", "code", "message"), BROKEN, ids=[f"{verb}-{broken.__name__}" for verb, broken, _, _ in BROKEN]
)
def test_a_broken_input_is_one_line(synthcp, inputs, verb, broken, code, message):
    given = broken(inputs) or inputs
    ended = synthcp(*command(verb, given))
    assert (ended.code, len(ended.stderr)) == (code, 1), ended.stderr
    assert message in ended.stderr[0]
    if code == 3:
        rows = {row.id: row for row in read_rows(given.out)}
        assert [rows[name].status for name in GOOD] == ["ok"] * 3
        assert rows[BAD].status == "error" and message in rows[BAD].message
        assert len(rows) == 4


def test_the_inputs_are_good_before_a_test_breaks_them(synthcp, inputs):
    run = inputs.data / "run"
    shutil.copytree(inputs.run, run)
    for verb in ("calibrate", "audit", "score", "eval"):
        ended = synthcp(*command(verb, replace(inputs, run=run)))
        assert (ended.code, ended.stderr) == (0, [])
    assert {row.status for row in read_rows(inputs.out)} == {"ok"}


def test_one_broken_image_alone_is_an_error(synthcp, inputs):
    huge_header(inputs)
    ended = synthcp("score", inputs.bad_image, "--monitor", inputs.run, "--out", inputs.out, "--device", "cpu")
    assert ended.code == 2
    assert ended.stderr == [
        f"error: {inputs.bad_image} has more than 100 megapixels, the limit; cut or shrink it first"
    ]


CITY = "gtFine/train/ulm"
CITY_LABEL = f"{CITY}/ulm_000001_000019_gtFine_labelIds.png"


def remove(root: Path, part: str) -> None:
    path = root / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def paint(root: Path, size: tuple[int, int], value: int) -> None:
    Image.new("L", size, value).save(root / CITY_LABEL)


@pytest.mark.parametrize(
    ("broken", "options", "message"),
    [
        (lambda root: remove(root, "gtFine"), [], "gtFine is missing; Cityscapes"),
        (lambda root: remove(root, CITY), [], "ulm is in {root}/leftImg8bit/train but not in {root}/gtFine/train"),
        (lambda root: remove(root, CITY_LABEL), [], "ulm/ulm_000001_000019 is in {root}/leftImg8bit/train but not in"),
        (lambda root: paint(root, (64, 32), 34), [], "ulm_000001_000019_gtFine_labelIds.png holds the value 34"),
        (lambda root: paint(root, (64, 48), 7), [], "the image is (32, 64), its label map (48, 64)"),
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
