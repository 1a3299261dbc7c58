"""Soak: good and bad images scored in one process, round after round, for ten minutes.

The monitor is untrained, which works as a trained one does: scale `tiny`, nine classes, 32 good images of four sizes.
First each good image is scored alone. Then every round scores some of them, drawn at random, in one folder together
with as many bad files: empty, truncated, with bytes replaced, of noise, of other kinds, too small, or with a header
that claims too much. What is checked:

- every good image has the same maps as alone, byte for byte, and every bad one a row with status "error";
- the resident memory of the process never exceeds by more than 5 % what it was at most in the first minute (or in the
  first fifth of a run of less than five).

Prints a table of the run, and fails where one of the two does not hold.

Run: OMP_NUM_THREADS=1 python benchmarks/soak.py [--minutes 10] [--seed 0]
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from synthcp.config.scales import SCALES
from synthcp.config.variants import VARIANTS
from synthcp.data.drawn.scenes import CLASSES, Scenes, ScenesConfig
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network, build_segmenter
from synthcp.monitor.settings import MonitorSettings
from synthcp.report.pictures import image_picture
from synthcp.report.rows import ResultRow
from synthcp.system.runtime import Runtime
from synthcp.verbs.score import score

SIZES = ((48, 64), (64, 48), (40, 120), (96, 96))
GROWTH = 0.05
MAPS = ("prediction.png", "error_16bit.png", "synthesis.png", "image.jpg")
ROWS = 12
"""Lines of the table."""


@dataclass
class Soak:
    """What is scored, what came of each good image alone, and what was seen.

    Attributes:
        monitor: Scores.
        root: Folder of the good images, and of one round at a time.
        chance: Draws the rounds.
        alone: The maps of each good image that was scored alone, by its name.
        seen: Seconds, rounds, good and bad inputs, and resident MB, after every round.
        wrong: One line for each result that is not as alone.
    """

    monitor: Monitor
    root: Path
    chance: random.Random
    alone: dict[str, list[bytes]] = field(default_factory=dict)
    seen: list[tuple[float, int, int, int, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Write the good images, and score each alone."""
        for size in SIZES:
            for sample in Scenes(ScenesConfig(8, *size, split="test")):
                path = self.root / "good" / f"{size[0]}x{size[1]}-{sample.id}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image_picture(sample.image).save(path)
                score(self.monitor, path, self.root / "out")
                self.alone[path.stem] = self._maps(path.stem)
                shutil.rmtree(self.root / "out")

    def rounds(self, seconds: float) -> None:
        """Score rounds of good and bad inputs until the time is over."""
        start, good, bad = time.monotonic(), 0, 0
        while (now := time.monotonic() - start) < seconds:
            names = self.chance.sample(sorted(self.alone), self.chance.randint(1, 6))
            self._round(names)
            good, bad = good + len(names), bad + len(names)
            self.seen.append((now, len(self.seen) + 1, good, bad, resident()))

    def _round(self, names: list[str]) -> None:
        folder, out = self.root / "round", self.root / "out"
        folder.mkdir()
        for number, name in enumerate(names):
            shutil.copy(self.root / "good" / f"{name}.png", folder)
            content = (folder / f"{name}.png").read_bytes()
            (folder / f"bad{number}.png").write_bytes(self.chance.choice(BAD)(content, self.chance))
        rows = {row.id: row for row in score(self.monitor, folder, out)}
        for name in names:
            if rows[name].status != "ok" or self._maps(name) != self.alone[name]:
                self.wrong.append(f"{name} has another result than alone")
        self.wrong += [f"{row.id} was scored" for row in rows.values() if unexpected(row)]
        shutil.rmtree(folder)
        shutil.rmtree(out)

    def _maps(self, name: str) -> list[bytes]:
        return [(self.root / "out" / "maps" / f"{name}_{kind}").read_bytes() for kind in MAPS]


def unexpected(row: ResultRow) -> bool:
    """Whether a bad input is not an error."""
    return row.id.startswith("bad") and row.status != "error"


def claiming(width: int, height: int) -> bytes:
    """The beginning of a PNG of some size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def picture(mode: str, size: tuple[int, int], kind: str) -> bytes:
    """A picture of one colour."""
    content = io.BytesIO()
    Image.new(mode, size).save(content, kind)
    return content.getvalue()


BAD: list[Callable[[bytes, random.Random], bytes]] = [
    lambda good, chance: b"",
    lambda good, chance: good[: chance.randint(1, len(good) // 2)],
    lambda good, chance: good[:40] + chance.randbytes(len(good) - 40),
    lambda good, chance: chance.randbytes(chance.randint(1, 10_000)),
    lambda good, chance: claiming(chance.randint(20_000, 2**31 - 1), chance.randint(20_000, 2**31 - 1)),
    lambda good, chance: claiming(chance.randint(16, 4000), chance.randint(16, 4000)),
    lambda good, chance: picture("RGB", (chance.randint(1, 15), chance.randint(1, 200)), "PNG"),
    lambda good, chance: picture(chance.choice(["L", "1", "LA"]), (64, 48), "PNG"),
    lambda good, chance: picture("CMYK", (64, 48), "TIFF"),
    lambda good, chance: picture("P", (64, 48), "GIF"),
]
"""Makes of a good image's bytes those of a bad one."""


def resident() -> float:
    """Memory of this process that is in RAM, in MB; where the system does not tell, the most that it ever was."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def untrained() -> Monitor:
    """A monitor of images as a fit leaves it, but for the weights."""
    torch.manual_seed(0)
    settings = MonitorSettings(CLASSES, 3, 2, VARIANTS["paper"], SCALES["tiny"])
    parts = build_segmenter(settings), build_generator(settings), build_network(settings)
    return Monitor(settings, *parts, Runtime(torch.device("cpu")))


def growth(soak: Soak, warm: float) -> float:
    """By what share memory exceeded, at most, the highest of the first seconds."""
    first = [entry[-1] for entry in soak.seen if entry[0] <= warm]
    later = [entry[-1] for entry in soak.seen if entry[0] > warm]
    return max(later, default=0.0) / max(first) - 1


def main() -> None:
    """Soak, print the table, and fail where memory grows or a result changes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0, help="of the rounds")
    asked = parser.parse_args()
    seconds = 60 * asked.minutes
    warm = min(60.0, seconds / 5)
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(untrained(), Path(folder), random.Random(asked.seed))
        soak.begin()
        soak.rounds(seconds)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, seed {asked.seed}")
    print(f"{'seconds':>8}{'rounds':>8}{'good':>8}{'bad':>8}{'resident MB':>13}")
    step = max(1, len(soak.seen) // ROWS)
    for entry in soak.seen[step - 1 :: step]:
        print("{:8.0f}{:8}{:8}{:8}{:13.1f}".format(*entry))
    more = growth(soak, warm)
    print(f"memory after the first {warm:.0f} s: {100 * more:+.1f} % of its highest there (at most +5 %)")
    print(f"results other than alone, or bad inputs scored: {len(soak.wrong)}")
    if soak.wrong or more > GROWTH:
        sys.exit("; ".join(soak.wrong[:3]) or "memory grows")


if __name__ == "__main__":
    main()
