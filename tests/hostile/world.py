"""A small good world that cases break: labelled images, volumes, predictions, monitors and an output folder.

The monitors are untrained, which breaks as a trained one does. Every case works in a copy of its own.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from synthcp.cli import run
from synthcp.config.scales import SCALES, VOLUME_SCALES
from synthcp.config.variants import VARIANTS
from synthcp.data.decathlon import write_decathlon
from synthcp.data.drawn.phantoms import CLASSES as ORGANS
from synthcp.data.drawn.phantoms import Phantoms, PhantomsConfig
from synthcp.data.drawn.scenes import CLASSES, Scenes, ScenesConfig
from synthcp.data.volume_preparation import VolumePreparation
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network, build_segmenter
from synthcp.monitor.settings import MonitorSettings
from synthcp.report.pictures import image_picture, label_picture
from synthcp.segmentation.settings import ModelSettings
from synthcp.segmentation.specs import reopen_model
from synthcp.system.runtime import Runtime

COUNT, SIZE = 3, (48, 64)


@dataclass(frozen=True)
class World:
    """The paths of the good things below a folder."""

    root: Path

    data = property(lambda self: self.root / "data")
    images = property(lambda self: self.data / "images")
    labels = property(lambda self: self.data / "labels")
    volumes = property(lambda self: self.root / "volumes")
    monitor = property(lambda self: self.root / "run")
    volume_monitor = property(lambda self: self.root / "run3d")
    prediction_monitor = property(lambda self: self.root / "run-predictions")
    predictions = property(lambda self: self.root / "predictions")
    scored = property(lambda self: self.root / "scored")
    out = property(lambda self: self.root / "out")

    @classmethod
    def build(cls, root: Path) -> World:
        """Make the good world."""
        torch.manual_seed(0)
        torch.set_num_threads(1)
        world = cls(root)
        for folder in (world.images, world.labels, world.predictions):
            folder.mkdir(parents=True)
        for sample in Scenes(ScenesConfig(COUNT, *SIZE, split="test", unknowns=False)):
            image_picture(sample.image).save(world.images / f"{sample.id}.png")
            label_picture(sample.label_map, CLASSES).save(world.labels / f"{sample.id}.png")
            label_picture(sample.label_map.roll(3, 0), CLASSES).save(world.predictions / f"{sample.id}.png")
        (world.data / "classes.json").write_text(json.dumps({"names": CLASSES.names}))
        write_decathlon(world.volumes, Phantoms(PhantomsConfig(count=4, size=(20, 24, 16))))
        scale, preparation = SCALES["tiny"], VolumePreparation(window="abdomen")
        world.save_monitor(world.monitor, MonitorSettings(CLASSES, 3, 2, VARIANTS["paper"], scale))
        on_disk = ModelSettings(f"preds:{world.predictions}", layers=0, probe_size=SIZE)
        settings = MonitorSettings(CLASSES, 3, 2, VARIANTS["paper"], scale, model=on_disk)
        world.save_monitor(world.prediction_monitor, settings)
        volumes = MonitorSettings(
            *(ORGANS, 1, 3, VARIANTS["paper"], VOLUME_SCALES["tiny"]),
            model=ModelSettings("deeplab"),
            preparation=preparation,
        )
        world.save_monitor(world.volume_monitor, volumes)
        assert run([*map(str, world.score(out=world.scored)), "--quiet"]) == 0
        return world

    @staticmethod
    def save_monitor(folder: Path, settings: MonitorSettings) -> None:
        model, shape = settings.model, (settings.classes, settings.channels)
        predictor = build_segmenter(settings) if model.is_built_in else reopen_model(model, *shape).predictor
        Monitor(
            settings, predictor, build_generator(settings), build_network(settings), Runtime(torch.device("cpu"))
        ).save(folder)

    def copy(self, root: Path) -> World:
        """A world of its own; what is large is linked until a case `own`s it."""
        root.mkdir()
        for path in self.root.iterdir():
            if path.name.startswith("run"):
                (root / path.name).symlink_to(path)
            else:
                shutil.copytree(path, root / path.name)
        return World(root)

    def own(self, folder: Path) -> Path:
        """Put a copy in the place of a link."""
        real = folder.resolve()
        folder.unlink()
        return Path(shutil.copytree(real, folder))

    def score(self, *options: object, out: Path | None = None) -> list[object]:
        return ["score", self.images, "--monitor", self.monitor, "--out", out or self.out, *options]

    def score_predictions(self) -> list[object]:
        options = ["--monitor", self.prediction_monitor, "--predictions", self.predictions, "--out", self.out]
        return ["score", self.images, *options, "--quiet"]

    def score_volumes(self, *options: object) -> list[object]:
        images = self.volumes / "imagesTr"
        return ["score", images, "--monitor", self.volume_monitor, "--out", self.out, *options]

    def of_data(self, verb: str, *options: object, data: object = None) -> list[object]:
        """A command line of fit, eval, calibrate, audit or doctor."""
        spec = data or f"folder:{self.data}"
        more = {
            "fit": ["--out", self.out, "--scale", "tiny", "--device", "cpu", "--quiet"],
            "eval": ["--monitor", self.monitor, "--out", self.out, "--detectors", "synthcp", "--quiet"],
            "calibrate": ["--monitor", self.own(self.monitor), *"--alpha .7 --delta .5 --area .5 --quiet".split()]
            if verb == "calibrate"
            else [],
            "audit": ["--monitor", self.monitor, "--out", self.out, "--quiet"],
            "doctor": [],
        }
        return [verb, "--data", spec, *more[verb], *options]


def encoded(mode: str = "RGB", size: tuple[int, int] = (64, 48), kind: str = "PNG", **options: object) -> bytes:
    """A picture of noise."""
    content, noise = io.BytesIO(), np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(content, kind, **options)
    return content.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of chunks."""
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def header(width: int, height: int, bits: int = 8, color: int = 2) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)


def flat_png(width: int, height: int) -> bytes:
    """A whole grey-free PNG of one colour, which compresses a thousandfold."""
    rows = zlib.compressobj(9)
    line = b"\0" * (1 + 3 * width)
    data = b"".join(rows.compress(line) for _ in range(height)) + rows.flush()
    return png(header(width, height), (b"IDAT", data), (b"IEND", b""))


def tiff(*tags: tuple[int, int, int, int], following: int = 0) -> bytes:
    """A TIFF of one directory at byte 8."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def nifti(
    shape: tuple[int, ...] = (20, 24, 16), code: int = 16, content: bytes | None = None, **fields: object
) -> bytes:
    """A single-file NIfTI-1 of a shape and a data type, with other bytes in the place of its fields."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<hh", head, 70, code, 32)
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<ff", head, 108, 352, 1)
    struct.pack_into("<hh", head, 252, 0, 1)
    for row in range(3):
        struct.pack_into("<4f", head, 280 + 16 * row, *(float(row == column) for column in range(4)))
    head[344:348] = b"n+1\0"
    for place, value in fields.items():
        struct.pack_into(str(value[0]), head, int(place[1:]), *value[1:])  # type: ignore[index]
    return bytes(head) + (np.zeros(shape, "<f4").tobytes() if content is None else content)


def npz(**arrays: object) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def npy_header(shape: str, kind: str = "<f4") -> bytes:
    """The header of an array alone, of any claimed shape."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode()


def safetensors(record: object, content: bytes = b"") -> bytes:
    text = record if isinstance(record, bytes) else json.dumps(record).encode()
    return struct.pack("<Q", len(text)) + text + content


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)
