"""The hostile cases: one line each."""
# ruff: noqa: E501

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from world import World, encoded, fifo, flat_png, header, nifti, npy_header, npz, png, safetensors, tiff

GOOD, BAD, SOME, EITHER = (0,), (2,), (3,), (0, 3)
Prepare = Callable[[World], Sequence[object]]


@dataclass(frozen=True)
class Case:
    """A command line on a world that it breaks.

    Attributes:
        name: The verb, the kind of file, and what is wrong with it.
        prepare: Breaks a world, and returns the command line.
        codes: Exit codes that are right.
        short: Whether it is in the short selection.
        lost: Names of good images that need no result.
        volumes: Whether what is scored are volumes.
        other_results: Whether good images may have another result, or none, as when M is another.
        seconds: Of the processor that it may take.
    """

    name: str
    prepare: Prepare
    codes: tuple[int, ...]
    short: bool = False
    lost: tuple[str, ...] = ()
    volumes: bool = False
    other_results: bool = False
    seconds: float = 10.0

    @property
    def verb(self) -> str:
        """Of the command line."""
        return self.name.partition(" ")[0]


CASES: list[Case] = []
FIRST = "test-0000"


def add(name: str, prepare: Prepare, codes: tuple[int, ...], **options: Any) -> None:
    CASES.append(Case(name, prepare, codes, **options))


def write(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))


def sparse(path: Path, size: int = 1 << 42) -> None:
    with path.open("ab") as file:
        file.truncate(size)


def mutated(content: bytes, seed: int, flips: int = 20) -> bytes:
    """Some bytes replaced, from a seed."""
    chance, changed = random.Random(seed), bytearray(content)
    for _ in range(flips):
        changed[chance.randrange(8, len(changed))] = chance.randrange(256)
    return bytes(changed)


# --- images: one more among the good ones ---------------------------------------------------------------------------


def image(name: str, content: bytes | Callable[[], bytes], codes: tuple[int, ...] = SOME, **options: Any) -> None:
    file = name if "." in name else f"{name}.png"

    def prepare(world: World) -> Sequence[object]:
        write(world.images / file, content if isinstance(content, bytes) else content())
        return world.score("--quiet")

    add(f"score image {name}", prepare, codes, **options)


WHOLE, JPEG, WEBP = encoded(), encoded(kind="JPEG"), encoded(kind="WEBP")
IDAT, IEND = (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")
image("empty", b"")
image("one byte", b"\x89")
image("signature alone", b"\x89PNG\r\n\x1a\n")
image("header alone", png(header(64, 48)))
image("half", WHOLE[: len(WHOLE) // 2], short=True)
image("without its end chunk", WHOLE[:-12], GOOD)
image("30000x30000", png(header(30_000, 30_000), IDAT, IEND))
image("2147483647x1", png(header(2**31 - 1, 1), IDAT, IEND))
image("0x0", png(header(0, 0), IDAT, IEND))
image("1x1", encoded(size=(1, 1)))
image("15x64", encoded(size=(15, 64)))
image("16x20000", partial(flat_png, 16, 20_000), GOOD, seconds=40.0)
image("16x50001", partial(flat_png, 16, 50_001))
image("99000x1010 flat", partial(flat_png, 99_000, 1010))
image("bits 3", png(header(64, 48, bits=3), IDAT, IEND))
image("colour type 9", png(header(64, 48, color=9), IDAT, IEND))
image("crc", WHOLE[:29] + b"\0\0\0\0" + WHOLE[33:])
image("palette missing", png(header(64, 48, color=3), IDAT, IEND))
image("ztxt bomb", png(header(64, 48), (b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))), IDAT, IEND))
image("iccp bomb", png(header(64, 48), (b"iCCP", b"a\0\0" + zlib.compress(bytes(10**8))), IDAT, IEND))
image("idat bomb", png(header(64, 48), (b"IDAT", zlib.compress(bytes(10**8))), IEND), EITHER)
image("apng of 100000 frames", png(header(64, 48), (b"acTL", struct.pack(">II", 100_000, 0)), IDAT, IEND))
image("grey 16", encoded("I;16"), EITHER)
image("grey", encoded("L"))
image("bilevel", encoded("1"))
image("float.tif", encoded("F", kind="TIFF"), EITHER)
image("cmyk.jpg", encoded("CMYK", kind="JPEG"))
image("lab.tif", encoded("LAB", kind="TIFF"))
image("palette", encoded("P"), GOOD)
image("rgba", encoded("RGBA"), GOOD)
image("half.jpg", JPEG[: len(JPEG) // 2])
image("start alone.jpg", b"\xff\xd8\xff")
image("sizes.jpg", JPEG.replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 65_535, 65_535), 1))
image("half.webp", WEBP[: len(WEBP) // 2])
image("huge.webp", b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff")
image("sizes.bmp", b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 2**31 - 1, -(2**31), 1, 24, 0, 0, 1, 1, 0, 0))
image(
    "rle.bmp", b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 64, 48, 1, 8, 1, 40, 1, 1, 0, 0) + b"\0\2\xff" * 15
)
image("circle.tif", tiff((256, 3, 1, 64), (257, 3, 1, 48), following=8))
image("strips.tif", tiff((256, 4, 1, 64), (257, 4, 1, 48), (273, 4, 2**31, 0), (279, 4, 2**31, 0)))
image("tiles.tif", tiff((256, 4, 1, 64), (257, 4, 1, 48), (322, 4, 1, 2**31), (323, 4, 1, 2**31), (324, 4, 1, 8)))
image("pages.tif", encoded(kind="TIFF", save_all=True, append_images=[]), GOOD)
image(
    "exif.jpg", encoded(kind="JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\3\0\0\0\1\0\x63\0\0\0\0\0\0"), GOOD
)
for disguise, text in {
    "gif": encoded("P", kind="GIF"),
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n(x) (w) file\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "pickle": pickle.dumps({"a": [1.0]}),
    "text": b"no picture",
    "nothing but zeros": bytes(100_000),
    "zip": npz(a=np.zeros(3)),
}.items():
    image(f"{disguise} as png", text)
for seed in range(8):
    image(f"png mutated {seed}", mutated(WHOLE, seed), EITHER)
    image(f"jpeg mutated {seed}.jpg", mutated(JPEG, seed), EITHER)
    image(f"tiff mutated {seed}.tif", mutated(encoded(kind="TIFF"), seed), EITHER)
    image(f"webp mutated {seed}.webp", mutated(WEBP, seed), EITHER)
for name in (
    "line\nbreak", "esc\x1b[2J\x1b]0;x\x07", "bidi\u202egnp", "=HYPERLINK(1)", "@a", "-rf", "+1", "\ttab", "a'b\"c", "#?%&",
    "<script>alert(1)</script>".replace("/", ""), "{{7*7}}", "%s%n{0}", "[bold red]", "..", "con", " ", "\udcff", "e" * 233,
    "\u0430\u0301", "a\\b", "$(reboot)", "|", "\u2028", "nul\x7f",
):  # fmt: skip
    image(f"name {name!r}".replace("/", "").replace(".", ""), WHOLE, GOOD)
    CASES[-1] = Case(
        CASES[-1].name,
        lambda world, name=name: (write(world.images / f"{name}.png", WHOLE), world.score())[1],
        EITHER if len(name) > 200 else GOOD,
        short=name.startswith("esc"),
    )

# --- what a folder holds besides ------------------------------------------------------------------------------------


def besides(name: str, prepare: Callable[[World], object], codes: tuple[int, ...] = GOOD, **options: Any) -> None:
    add(f"score folder {name}", lambda world: (prepare(world), world.score("--quiet"))[1], codes, **options)


besides("fifo", lambda world: os.mkfifo(world.images / "a.png"), short=True)
besides("device", lambda world: (world.images / "a.png").symlink_to("/dev/zero"))
besides("broken link", lambda world: (world.images / "a.png").symlink_to("nowhere"))
besides("link to itself", lambda world: (world.images / "a.png").symlink_to("a.png"))
besides("circle of folders", lambda world: (world.images / "a").symlink_to(".."))
besides("a folder named as an image", lambda world: (world.images / "a.png").mkdir())
besides("hidden file", lambda world: write(world.images / "._a.png", b"\0"))
besides("heic and avif", lambda world: [write(world.images / f"a.{kind}", b"\0") for kind in ("heic", "avif", "jp2")])
besides("earlier results", lambda world: shutil.copytree(world.scored, world.images / "scored"))
besides("a thousand folders deep", lambda world: deep(world.images))
besides("nothing", lambda world: [path.unlink() for path in world.images.iterdir()], BAD)
besides("no folder", lambda world: shutil.rmtree(world.images), BAD)
for place in ("fifo", "device"):
    path = "/dev/zero" if place == "device" else "pipe"
    add(
        f"score input {place}",
        lambda world, path=path: (fifo(world.root / "pipe"), ["score", world.root / path, *world.score()[2:]])[1],
        BAD,
    )


def deep(folder: Path) -> None:
    os.chdir(folder)
    for _ in range(1000):
        os.mkdir("d")
        os.chdir("d")


# --- volumes ----------------------------------------------------------------------------------------------------------


def volume(name: str, content: bytes | Callable[[], bytes], codes: tuple[int, ...] = SOME, **options: Any) -> None:
    def prepare(world: World) -> Sequence[object]:
        file = world.volumes / "imagesTr" / (name if name.endswith(".gz") else f"{name}.nii")
        write(file, content if isinstance(content, bytes) else content())
        return world.score_volumes("--quiet")

    add(f"score volume {name}", prepare, codes, volumes=True, **options)


def gzipped(content: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return packer.compress(content) + packer.flush()


volume("empty", b"")
volume("header alone", nifti(content=b""))
volume("half", nifti()[:5000])
volume("claims 1200 cubed", nifti((1200, 1200, 1200), content=bytes(2000)))
volume("claims 32767 cubed", nifti((32767, 32767, 32767), content=b""))
volume("negative side", nifti((-5, 24, 16), content=bytes(2000)))
volume("no side", nifti((0, 24, 16), content=b""))
volume("one voxel", nifti((1, 1, 1)))
volume("flat", nifti((20, 24)))
volume("five axes", nifti((4, 4, 4, 2, 2)))
volume("complex", nifti(code=32, content=bytes(20 * 24 * 16 * 8)), EITHER)
volume("rgb", nifti(code=128, content=bytes(20 * 24 * 16 * 3)))
volume("unknown type", nifti(code=999))
volume("nan", nifti(content=np.full((20, 24, 16), np.nan, "<f4").tobytes()))
volume("inf", nifti(content=np.full((20, 24, 16), np.inf, "<f4").tobytes()))
volume("1e38", nifti(content=np.full((20, 24, 16), 3e38, "<f4").tobytes()), EITHER)
volume("zero spacing", nifti(p80=("<fff", 0.0, 0.0, 0.0), p280=("<4f", 0.0, 0.0, 0.0, 0.0)))
volume("nan affine", nifti(p280=("<4f", *[float("nan")] * 4)))
volume("huge affine", nifti(p280=("<4f", 1e30, 0.0, 0.0, 0.0)))
volume("tiny spacing", nifti(p280=("<4f", 1e-6, 0.0, 0.0, 0.0)), EITHER)
volume("nan slope", nifti(p112=("<f", float("nan"))), EITHER)
volume("offset behind the end", nifti(p108=("<f", 1e9)))
volume("negative offset", nifti(p108=("<f", -1e9)))
volume("text", b"no volume")
volume("not.nii.gz", b"not gzip")
volume("half.nii.gz", gzipped(nifti())[:60])
volume("bomb.nii.gz", lambda: gzipped(nifti((20, 24, 16), content=bytes(500_000_000))), EITHER)
for seed in range(6):
    volume(f"mutated {seed}", mutated(nifti(), seed, flips=40)[:352] + nifti()[352:], EITHER)

# --- label maps -------------------------------------------------------------------------------------------------------


def label(name: str, content: bytes | Callable[[World], object], *verbs: str, **options: Any) -> None:
    for verb in verbs or ("fit", "eval"):

        def prepare(world: World, verb: str = verb) -> Sequence[object]:
            path = world.labels / f"{FIRST}.png"
            write(path, content) if isinstance(content, bytes) else content(world)
            return world.of_data(verb)

        add(
            f"{verb} label {name}",
            prepare,
            SOME if options.get("unreadable") and verb in ("eval", "calibrate", "audit") else BAD,
            short=options.get("short", False) and verb == "fit",
        )


def masks(value: int) -> Callable[[World], None]:
    """All label maps two-valued."""

    def write_all(world: World) -> None:
        (world.data / "classes.json").write_text(json.dumps({"names": ["no", "yes"]}))
        for path in world.labels.iterdir():
            noise = np.random.default_rng(0).integers(0, 2, (48, 64)) * value
            write(path, png(header(64, 48, 8, 0), (b"IDAT", packed(noise.astype(np.uint8))), (b"IEND", b"")))

    return write_all


def packed(rows: np.ndarray) -> bytes:
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))


label("empty", b"", "fit", "eval", "calibrate", "audit", "doctor", short=True, unreadable=True)
label("text", b"no label", unreadable=True)
label("half", WHOLE[: len(WHOLE) // 2], unreadable=True)
label("of colours", WHOLE, "fit", "eval", "audit", unreadable=True)
label("of 16 bits", encoded("I;16"), unreadable=True)
label("of noise", encoded("L"), "fit", "eval", "calibrate", "audit", "doctor")
label("of another size", encoded("1", (63, 48)))
label("of 30000x30000", png(header(30_000, 30_000, 8, 0), IDAT, IEND), unreadable=True)
label("jpeg", encoded("L", kind="JPEG"), unreadable=True)
label("fifo", lambda world: fifo(world.labels / f"{FIRST}.png"), "fit", "eval", "doctor")
label("missing", lambda world: (world.labels / f"{FIRST}.png").unlink())
label("without image", lambda world: write(world.labels / "more.png", encoded("L")))
label("of 0 and 255", masks(255), "fit")
label("of 0 and 7", masks(7), "fit")

# --- predictions on disk ----------------------------------------------------------------------------------------------


def prediction(
    name: str, content: bytes | Callable[[Path], object], codes: tuple[int, ...] = SOME, **options: Any
) -> None:
    """In the place of one prediction; "x.npz" replaces the PNG."""

    def prepare(world: World) -> Sequence[object]:
        (world.predictions / f"{FIRST}.png").unlink()
        path = world.predictions / (FIRST + (Path(name).suffix or ".png"))
        write(path, content) if isinstance(content, bytes) else content(path)
        return world.score_predictions()

    add(f"score prediction {name}", prepare, codes, other_results=True, **options)


def zipped(content: bytes, name: str = "logits.npy", kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr(name, content)
    return file.getvalue()


SHAPE = (9, 48, 64)
SCORES = np.random.default_rng(0).random(SHAPE).astype(np.float32)
prediction("empty", b"")
prediction("of colours", encoded("RGB"))
prediction("of noise", encoded("L"))
prediction(
    "of another aspect", png(header(64, 24, 8, 0), (b"IDAT", packed(np.zeros((24, 64), np.uint8))), (b"IEND", b""))
)
prediction("fifo", fifo, BAD)
prediction("empty.npz", b"")
prediction("half.npz", npz(logits=SCORES)[:500])
prediction("without arrays.npz", npz())
prediction("other key.npz", npz(arr_0=SCORES))
prediction("nan.npz", npz(logits=np.full(SHAPE, np.nan, np.float32)))
prediction("inf.npz", npz(logits=np.full(SHAPE, np.inf, np.float32)))
prediction("float64 beyond float32.npz", npz(logits=np.full(SHAPE, 1e300)))
prediction("probabilities beyond 1.npz", npz(probabilities=SCORES * 9))
prediction("two axes.npz", npz(logits=SCORES[0]))
prediction("no class.npz", npz(logits=SCORES[:0]))
prediction("no pixel.npz", npz(logits=SCORES[:, :0]))
prediction("three classes.npz", npz(logits=SCORES[:3]))
prediction("texts.npz", npz(logits=np.full(SHAPE, "a")))
prediction("complex.npz", npz(logits=SCORES * 1j), EITHER)
prediction("objects.npz", zipped(npy_header("(9, 48, 64)", "|O") + pickle.dumps([1] * 27648)))
prediction("claims a terabyte.npz", zipped(npy_header("(9, 200000, 200000)") + bytes(1000)))
prediction("shape overflows.npz", zipped(npy_header("(9, 9223372036854775807, 9223372036854775807)")))
prediction("shape negative.npz", zipped(npy_header("(-9, 48, 64)")))
prediction("header is code.npz", zipped(npy_header("__import__('os').abort()")))
prediction(
    "zeros of 1 GB.npz",
    lambda path: path.write_bytes(zipped(npy_header("(9, 5500, 5500)") + bytes(9 * 5500 * 5500 * 4))),
)
prediction("no zip.npz", b"\x93NUMPY\x01\0")
for seed in range(5):
    prediction(f"mutated {seed}.npz", mutated(npz(logits=SCORES), seed), EITHER)
add(
    "score prediction missing",
    lambda world: (
        (world.predictions / f"{FIRST}.png").unlink(),
        world.score_predictions(),
    )[1],
    BAD,
    short=True,
)

# --- a monitor from somebody else -------------------------------------------------------------------------------------


def weights(name: str, content: bytes | Callable[[bytes], bytes], network: str = "generator", **options: Any) -> None:
    def prepare(world: World) -> Sequence[object]:
        path = world.own(world.monitor) / f"{network}.safetensors"
        path.write_bytes(content if isinstance(content, bytes) else content(path.read_bytes()))
        return world.score("--quiet")

    add(f"score weights {name}", prepare, options.pop("codes", BAD), other_results=True, **options)


def all_values(content: bytes, value: float) -> bytes:
    """Every number replaced."""
    start = 8 + struct.unpack("<Q", content[:8])[0]
    return content[:start] + np.full((len(content) - start) // 4, value, "<f4").tobytes()


weights("empty", b"", short=True)
weights("half", lambda content: content[: len(content) // 2])
weights("pickle", pickle.dumps({"a": 1}), short=True)
weights("zip", npz(a=np.zeros(3)))
weights("header of 2**63 bytes", struct.pack("<Q", 2**63) + b"{}")
weights("header is a list", safetensors([]))
weights("header of brackets", safetensors(b"[" * 100_000))
weights("no tensor", safetensors({}))
weights("another tensor", safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)))
weights("shape overflows", safetensors({"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 4]}}, bytes(4)))
weights(
    "offsets overlap", safetensors({k: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for k in "ab"}, bytes(4))
)
weights("fifo", lambda content: content, codes=GOOD)  # replaced below
CASES[-1] = Case(
    "score weights fifo",
    lambda world: (fifo(world.own(world.monitor) / "generator.safetensors"), world.score("--quiet"))[1],
    BAD,
)
for network in ("segmenter", "generator", "comparator"):
    for value in (float("nan"), float("inf"), 1e30):
        weights(f"{network} {value}", partial(all_values, value=value), network, codes=(2, 3))


def setting(name: str, value: object, codes: tuple[int, ...] = BAD, **options: Any) -> None:
    """A field of monitor.json, by its path, replaced."""

    def prepare(world: World) -> Sequence[object]:
        path = world.own(world.monitor) / "monitor.json"
        record = json.loads(path.read_text())
        *parents, key = name.split(".")
        place = record
        for parent in parents:
            place = place[parent]
        place[key] = value
        path.write_text(json.dumps(record))
        return world.score("--quiet")

    add(f"score monitor {name} = {str(value)[:40]}", prepare, codes, other_results=True, **options)


for field in ("classes", "channels", "spatial_dims", "variant", "scale", "model", "learnt", "thresholds", "usual"):
    for value in (None, "x", -1, [], {}):
        optional = field in ("learnt", "usual") and value is None
        setting(field, value, (0, 2, 3) if optional else (2, 3))
setting("no such field", 1)
setting("channels", 10**30)
setting("scale.side", 0, GOOD)  # the size of the images
setting("scale.side", 10**9)
setting("scale.spade_width", 10**6)
setting("scale.multipliers", [10**6] * 5)
setting("scale.output_stride", 0)
setting("classes.names", ["a", "a"])
setting("classes.names", [])
setting("classes.colors", [[0, 0, 999]])
setting("classes.ignore_index", 0)
for spec in (
    "os:abort",
    "code:interact",
    "http.server:test",
    "file.py:f",
    "onnx:/nope",
    "tv:x",
    "preds:/nope",
    "hf:/nope",
):
    setting("model.spec", spec)
for name, content in {
    "empty": "",
    "list": "[]",
    "brackets": "[" * 100_000,
    "nan": '{"a": NaN}',
    "digits": '{"a": ' + "9" * 5000 + "}",
    "not utf-8": b"\xff\xfe{}",
}.items():
    add(
        f"score monitor is {name}",
        lambda world, content=content: (
            write(world.own(world.monitor) / "monitor.json", content),
            world.score("--quiet"),
        )[1],
        BAD,
    )

# --- classes.json, lists, configs -------------------------------------------------------------------------------------


def classes(name: str, content: bytes | str, codes: tuple[int, ...] = BAD, verb: str = "eval", **options: Any) -> None:
    add(
        f"{verb} classes {name}",
        lambda world: (write(world.data / "classes.json", content), world.of_data(verb))[1],
        codes,
        **options,
    )


classes("empty", "", short=True)
classes("list", "[]")
classes("no names", '{"names": []}')
classes("numbers", '{"names": [1, 2]}')
classes("text", '{"names": "abc"}')
classes("twice", '{"names": ["a", "a"]}')
classes("300 names", json.dumps({"names": [f"c{n}" for n in range(300)]}), verb="fit")
classes("names raw", json.dumps({"names": ["a\n\x1b[31m", "\u202eb", "", *"cdefgh"]}))
classes("surrogates", '{"names": ["\\ud800", "b", "c", "d", "e", "f", "g", "h", "i"]}')
classes("brackets", "[" * 100_000)
classes("digits", '{"ignore_index": ' + "9" * 5000 + "}")
classes("infinite", '{"names": ["a"], "ignore_index": 1e999}')
classes("colours", '{"names": ["a"], "colors": [[1, 2, 1000]]}')
classes("not utf-8", b"\xff\xfe\x00{")
add("eval classes fifo", lambda world: (fifo(world.data / "classes.json"), world.of_data("eval"))[1], BAD)
add("eval classes sparse", lambda world: (sparse(world.data / "classes.json"), world.of_data("eval"))[1], BAD)


def ids(name: str, content: bytes | str, codes: tuple[int, ...] = BAD, **options: Any) -> None:
    def prepare(world: World) -> Sequence[object]:
        write(world.root / "ids.txt", content)
        return world.of_data("eval", data=f"folder:{world.data}?ids={world.root / 'ids.txt'}")

    add(f"eval list {name}", prepare, codes, **options)


ids("empty", "")
ids("of nobody", "nobody\n", short=True)
ids("binary", bytes(range(256)))
ids("with a mark", f"\ufeff{FIRST}\n", GOOD)
ids("twice", f"{FIRST}\n{FIRST}\n", (0, 2))
ids("of one long line", "a" * 10**7)
ids("raw", "\x1b[2J\n\u202ea\n")
add(
    "eval list fifo",
    lambda world: (fifo(world.root / "i"), world.of_data("eval", data=f"folder:{world.data}?ids={world.root / 'i'}"))[
        1
    ],
    BAD,
)
add("eval list folder", lambda world: world.of_data("eval", data=f"folder:{world.data}?ids={world.data}"), BAD)
add("eval list device", lambda world: world.of_data("eval", data=f"folder:{world.data}?ids=/dev/zero"), BAD)


def config(name: str, content: bytes | str, **options: Any) -> None:
    def prepare(world: World) -> Sequence[object]:
        write(world.root / "config.json", content)
        return world.of_data("fit", "--config", world.root / "config.json")

    add(f"fit config {name}", prepare, BAD, **options)


config("empty", "", short=True)
config("list", "[]")
config("brackets", "[" * 100_000)
config("unknown", '{"scale": {"gun": 1}}')
config("text", '{"scale": {"gan": {"steps": "many"}}}')
config("negative", '{"scale": {"gan": {"steps": -5}}}')
config("nan", '{"scale": {"gan": {"generator_rate": NaN}}}')
config("infinite", '{"scale": {"gan": {"generator_rate": 1e999}}}')
config("digits", '{"scale": {"gan": {"steps": ' + "9" * 5000 + "}}}")
config("side", '{"scale": {"side": 1000000000}}')
config("width", '{"scale": {"spade_width": 1000000000}}')

# --- SPECs and options ------------------------------------------------------------------------------------------------

HUGE = "9" * 5000
for spec in (
    "", ":", "?", "folder:", "folder:/nope", "folder:/dev/null", "foldr:x", "scenes:x", "scenes:?count",
    "scenes:?count=0", "scenes:?count=-1", "scenes:?count=x", f"scenes:?count={HUGE}", "scenes:?count=99999999999",
    "scenes:?seed=99999999999999999999", "scenes:?size=0x0", "scenes:?size=999999x999999", f"scenes:?size={HUGE}x{HUGE}",
    "scenes:?size=96", "scenes:?split=none", "scenes:?a=b", "heldout:", "heldout:scenes:", "heldout:scenes:?classes=x",
    "degraded:scenes:?severity=9..1", f"degraded:scenes:?severity=0..{HUGE}", "degraded:" * 500 + "scenes:", "\x1b[31m:x",
    "phantoms:?size=1x1x1", "phantoms:?size=9999x9999x9999", "decathlon:/tmp", "nnunet:/tmp", "cityscapes:/tmp", "camvid:/tmp",
    "a" * 100_000, "folder:" + "a" * 100_000, "/", "/dev", "/dev?split=val", "/nope?split=val", "~nobody/x", "folder:~nobody/x",
):  # fmt: skip
    add(
        f"eval data {spec[:60]!r}",
        lambda world, spec=spec: (
            [
                "eval",
                "--data",
                spec,
                "--monitor",
                world.monitor,
                "--out",
                world.out,
                "--quiet",
                "--detectors",
                "synthcp",
            ]
        ),
        BAD,
        short=spec in ("folder:/nope", "scenes:?size=999999x999999"),
    )
for option, *values in (
    ("--threads", "0", "-1", "x", "100000000000000", HUGE, "1e3"),
    ("--budget", "0", "-1", HUGE, "99999999"),
    ("--shard", "0/1", "2/1", "x", f"1/{HUGE}", "\u0661/\u0662", "99/100"),
    ("--device", "gpu", "cuda:99", "meta", "\x1b[2J"),
    ("--precision", "fp8", ""),
    ("--smiyc", "../../x", "a/b", "..", "\0"[:0] + "a\\b"),
    ("--model", "", ":", "onnx:/nope", "onnx:/dev/null", "hf:/nope", "hf:/tmp", "onnx:~nobody/x", "tv:", "smp:x", "x.py:f", "os:getcwd", "preds:/nope"),
    ("--predictions", "/nope", "/dev/null"),
    ("--out", "/dev/null", "/dev/null/x", "/proc/x", "o" * 300),
    ("--monitor", "/nope", "/dev/null", "/dev/zero", "hub:", "hub:x", "hub:../x", "hub:a/b/c", "hub:a/b@", "hub:\x1b[2J/x"),
    ("--no-such-option", "1"),
):  # fmt: skip
    for value in values:
        add(
            f"score option {option} {value[:30]!r}",
            lambda world, option=option, value=value: world.score("--quiet", option, value),
            (2, 3) if option == "--model" else BAD,
            short=value == HUGE or "/" in value and option == "--shard",
        )
for option, *values in (
    ("--alpha", "0", "1", "-1", "nan", "inf", "1e-300", "x"),
    ("--delta", "0", "2", "nan", "1e-300"),
    ("--floor", "nan", "5"),
    ("--area", "0", "nan"),
    ("--split", "none"),
):
    for value in values:
        add(
            f"calibrate option {option} {value}",
            lambda world, option=option, value=value: world.of_data("calibrate", option, value),
            (0, 2) if option == "--split" else BAD,
            short=option == "--floor",
        )
for verb, option, value in (
    ("eval", "--detectors", "nobody"), ("eval", "--detectors", ""), ("eval", "--detectors", ","), ("eval", "--protocols", "x"),
    ("eval", "--protocols", ""), ("eval", "--markdown", "/dev/null/x"), ("audit", "--most", "0"), ("audit", "--most", HUGE),
    ("audit", "--seed", "-1"), ("fit", "--seed", HUGE), ("fit", "--scale", "x"), ("fit", "--variant", "x"),
    ("fit", "--generator", "x"), ("fit", "--imperfect", f"kfold:{HUGE}"), ("fit", "--imperfect", "kfold:99999999"),
    ("fit", "--imperfect", "folds:/nope"), ("fit", "--imperfect", "kfold:1"), ("fit", "--weights", "/nope"),
    ("fit", "--weights", "/dev/zero"), ("fit", "--perceptual-weights", "/dev/zero"), ("fit", "--config", "/dev/zero"),
    ("calibrate", "--monitor", "hub:a/b"), ("doctor", "--monitor", "hub:x"), ("doctor", "--scale", "x"), ("doctor", "--model", "onnx:/dev/zero"),
    ("doctor", "--monitor", "/dev/zero"), ("doctor", "--device", "gpu"), ("doctor", "--out", "/dev/null/x"),
):  # fmt: skip
    add(
        f"{verb} option {option} {value[:30]!r}",
        lambda world, verb=verb, option=option, value=value: world.of_data(verb, option, value),
        (0, 2) if value in ("", ",", "gpu") else BAD,
        short=verb == "fit" and option == "--seed",
    )

for option, *values in (
    ("--port", "65536", "-1", "http", HUGE),
    ("--host", "nowhere.invalid", "256.1.1.1", "", "::g", "\x1b[2J"),
    ("--token-file", "/nope", "/dev/zero", "/dev/null", "/etc"),
    ("--monitor", "/nope", "/dev/zero"),
    ("--workers", "0", HUGE),
    ("--queue", "0", "x", HUGE),
    ("--seconds", "0", "inf"),
    ("--megapixels", "501", "nan"),
    ("--aspect", "0", HUGE),
    ("--model", "onnx:/dev/null", "os:getcwd"),
):  # fmt: skip
    for value in values:
        add(
            f"serve option {option} {value[:30]!r}",
            lambda world, option=option, value=value: [
                "serve",
                "--monitor",
                world.monitor,
                "--port",
                "0",
                option,
                value,
            ],
            BAD,
            short=(option, value) in (("--port", HUGE), ("--token-file", "/dev/zero")),
        )

# --- report -----------------------------------------------------------------------------------------------------------


def report(
    name: str, file: str, content: bytes | str | Callable[[Path], object], codes: tuple[int, ...] = BAD, **options: Any
) -> None:
    def prepare(world: World) -> Sequence[object]:
        path = world.scored / file
        content(path) if callable(content) else write(path, content)
        return ["report", world.scored]

    add(f"report {file} {name}", prepare, codes, **options)


def replaced(old: str, new: str) -> Callable[[Path], None]:
    return lambda path: write(path, path.read_text().replace(old, new, 1))


for file in ("run.json", "results.csv", "regions.csv", "metrics.json", "annotate.csv", "report.html"):
    report("fifo", file, fifo, (0,) if file == "report.html" else (0, 2) if file == "annotate.csv" else BAD, short=True)
    report("zeros", file, bytes(1000), (0,) if file == "report.html" else BAD)
    report("sparse", file, sparse, (0,) if file == "report.html" else BAD)
for file in ("run.json", "metrics.json"):
    for name, content in {
        "brackets": "[" * 100_000,
        "list": "[]",
        "nan": '{"a": NaN}',
        "digits": f'{{"a": {HUGE}}}',
    }.items():
        report(name, file, content)
report("missing", "results.csv", Path.unlink)
report("of folders", "results.csv", lambda path: (path.unlink(), path.mkdir()))
report("words for numbers", "results.csv", replaced("ok,,0.", "ok,,x"), short=True)
report("beyond 1", "results.csv", replaced("ok,,0.", "ok,,7."))
report("an id that leads out", "results.csv", replaced(FIRST, "../../../etc/passwd"), short=True)
report("an absolute id", "results.csv", replaced(FIRST, "/etc/passwd"))
report("an id of 300 letters", "results.csv", replaced(FIRST, "a" * 300), (0, 2))
report("a raw id", "results.csv", replaced(FIRST, "\x1b[2J\u202e<script>"), GOOD)
report("one line of 200 MB", "results.csv", lambda path: path.write_bytes(b"a" * 200_000_000))
report("a million columns", "results.csv", "id," * 1_000_000)
report("threshold", "run.json", replaced('"error": 0.5', '"error": 1e300'), (0, 2))
for kind in ("error", "error_16bit", "prediction", "synthesis"):
    report("bomb", f"maps/{FIRST}_{kind}.png", png(header(60_000, 60_000), IDAT, IEND))
    report("fifo", f"maps/{FIRST}_{kind}.png", fifo, GOOD)
    report("text", f"maps/{FIRST}_{kind}.png", "no picture")
    report("device", f"maps/{FIRST}_{kind}.png", lambda path: (path.unlink(), path.symlink_to("/dev/zero")))
for place in ("/nope", "/dev/null", "/dev/zero", "", "\x1b[31m"):
    add(f"report folder {place!r}", lambda world, place=place: ["report", place], BAD, short=place == "/nope")
for arguments in (
    [],
    ["nonsense"],
    ["--nonsense"],
    ["score"],
    ["report"],
    ["\x1b[31m\n"],
    ["score", "--help", "--nope"],
):
    add(
        f"line {arguments!r}",
        lambda world, arguments=arguments: arguments,
        BAD if arguments else GOOD,
    )
