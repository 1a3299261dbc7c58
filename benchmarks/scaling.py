"""Whether `score` takes as long and as much memory for an image of many as for one of few.

One monitor of scale `tiny`, untrained, which works as a trained one does, and copies of one small drawn street. Each
number of images is scored in a process of its own, after a few images that load everything; every number has its turn
in each round. Printed are the medians over the rounds of the time that each image but the first adds to a run, and of
the largest resident memory.

Run: OMP_WAIT_POLICY=PASSIVE python benchmarks/scaling.py [--counts 10 100 1000] [--rounds 3] [--size 96x128]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from synthcp.config.scales import SCALES
from synthcp.config.variants import VARIANTS
from synthcp.data.drawn.scenes import CLASSES, Scenes, ScenesConfig
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network, build_segmenter
from synthcp.monitor.settings import MonitorSettings
from synthcp.report.pictures import image_picture
from synthcp.system.runtime import choose_runtime

WARM = 10
"""Images that load everything."""
SHORT = 9
"""How often a short run is timed; the median counts."""
PROGRAM = """
import json, resource, statistics, sys, time
from synthcp.verbs.score import score

monitor, images, out, count = sys.argv[1:]
paths = [f"{images}/{number}.png" for number in range(int(count))]

def seconds(paths):
    start = time.perf_counter()
    score(monitor, paths, out)
    return time.perf_counter() - start

score(monitor, paths[:WARM], out)
one, all = (
    statistics.median(seconds(part) for _ in range(SHORT if len(part) < 100 else 1)) for part in (paths[:1], paths)
)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([(all - one) / (len(paths) - 1), memory]))
""".replace("WARM", str(WARM)).replace("SHORT", str(SHORT))


def main() -> None:
    """Score, and print a line for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="96x128", help="height and width of an image")
    arguments = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {count: [] for count in arguments.counts}
    with tempfile.TemporaryDirectory() as folder:
        untrained().save(Path(folder, "run"))
        height, width = map(int, arguments.size.split("x"))
        copies(Path(folder, "images"), max(arguments.counts), height, width)
        for _ in range(arguments.rounds):
            for count, rows in found.items():
                rows.append(scored(Path(folder), count))
    print("| images | ms per image | against the first | peak memory, MB | against the first |\n|---|---|---|---|---|")
    medians = [[statistics.median(column) for column in zip(*rows, strict=True)] for rows in found.values()]
    for count, (seconds, memory) in zip(found, medians, strict=True):
        ratios = seconds / medians[0][0], memory / medians[0][1]
        print(f"| {count} | {1e3 * seconds:.1f} | {ratios[0]:.2f} | {memory:.0f} | {ratios[1]:.2f} |")


def untrained() -> Monitor:
    """Return a monitor with fresh weights."""
    settings = MonitorSettings(CLASSES, 3, 2, VARIANTS["paper"], SCALES["tiny"])
    networks = build_segmenter(settings), build_generator(settings), build_network(settings)
    return Monitor(settings, *networks, choose_runtime("cpu", "fp32"))


def copies(folder: Path, count: int, height: int, width: int) -> None:
    """Write one drawn street so many times."""
    folder.mkdir()
    (scene,) = Scenes(ScenesConfig(1, height, width, split="test"))
    image_picture(scene.image).save(folder / "0.png")
    for number in range(1, count):
        os.link(folder / "0.png", folder / f"{number}.png")


def scored(folder: Path, count: int) -> tuple[float, float]:
    """Seconds per image, and MB, of so many images."""
    command = [sys.executable, "-c", PROGRAM, *(str(folder / name) for name in ("run", "images", "out")), str(count)]
    seconds, memory = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return seconds, memory


if __name__ == "__main__":
    main()
