"""How fast `score` and `eval` are, beside an older commit, and where the time goes.

Both trees fit a monitor of scale `tiny` to the same drawn streets, which gives the same weights, and then take turns:
`score` of photos (drawn streets as JPEG), and `eval` of others with labels, of CamVid's size. Each turn is a process of
its own that runs the command twice, first on an input that is not there, which loads everything and is refused, and is
timed the second time; this tree has one more with `--batch`. Printed are the medians over the turns of images per
second and of the largest resident memory, their ratios to the older commit, how many arrays in maps/ are not equal, and
the time of the processor that each stage of `score` takes here per image.

Run: OMP_WAIT_POLICY=PASSIVE python benchmarks/score.py [--photos 30] [--images 173] [--turns 3] [--commit 9d1ecb2]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.report.pictures import image_picture

ROOT = Path(__file__).parents[1]
SIZE = (360, 480)
"""Height and width of the images of CamVid."""
PROGRAM = """
import json, resource, sys, threading, time
from collections import Counter
from synthcp.cli import main

seconds, lock = Counter(), threading.Lock()

def run(arguments):
    sys.argv = ["synthcp", *arguments]
    try:
        main()
    except SystemExit as ended:
        return ended.code

def timed(owner, name, stage):
    whole = getattr(owner, name)
    def part(*arguments, **options):
        start = time.thread_time()
        try:
            return whole(*arguments, **options)
        finally:
            with lock:
                seconds[stage] += time.thread_time() - start
    setattr(owner, name, part)

warm, real, stages = json.loads(sys.argv[1])
assert run(warm)
for module, owner, name, stage in stages:
    __import__(module)
    found = sys.modules[module]
    timed(getattr(found, owner) if owner else found, name, stage)
start = time.perf_counter()
assert not run(real)
wall = time.perf_counter() - start
print(json.dumps([wall, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, seconds]))
"""
STAGES = [
    ("synthcp.verbs.scoring", "Scoring", "_read", "read"),
    ("synthcp.monitor.monitor", "Monitor", "detect", "M, G, F and eq. 9"),
    ("synthcp.monitor.monitor", "Monitor", "assessment", "resize, regions, alarms"),
    ("synthcp.report.outputs", "ResultsWriter", "draw", "draw"),
    ("synthcp.report.outputs", "ResultsWriter", "write", "encode and write"),
    ("synthcp.verbs.score", "", "write_report", "report"),
]
"""Module, owner and name of the function of each stage."""


def main() -> None:
    """Fit both, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=30, help="of score; 0 leaves it out")
    parser.add_argument("--size", default="720x1280", help="height and width of a photo")
    parser.add_argument("--images", type=int, default=173, help="of eval; 0 leaves it out")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--commit", default="9d1ecb2", help="that is compared")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, worktree(arguments.commit, Path(folder, "tree")) as old:
        trees = {arguments.commit: old, "this tree": ROOT}
        for number, tree in enumerate(trees.values()):
            data = "scenes:?count=40&size=48x64"
            call(tree, ["fit", "--data", data, "--scale", "tiny", "--out", f"{folder}/run{number}", "--quiet"])
        if arguments.photos:
            draw(Path(folder, "photos"), arguments.photos, *map(int, arguments.size.split("x")))
            none, all_of_them = [f"{folder}/none.jpg"], [f"{folder}/photos"]
            compare(trees, Path(folder), "score", none, all_of_them, arguments.photos, arguments.turns)
        if arguments.images:
            draw(Path(folder, "data/images"), arguments.images, *SIZE, labels=True)
            none, all_of_them = (["--data", f"folder:{folder}/{name}"] for name in ("none", "data"))
            compare(trees, Path(folder), "eval", none, all_of_them, arguments.images, arguments.turns)


@contextmanager
def worktree(commit: str, place: Path) -> Iterator[Path]:
    """Check a commit out beside this tree."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(place), commit], check=True)
    try:
        yield place
    finally:
        subprocess.run([*git, "remove", "--force", str(place)], check=True)


def call(tree: Path, *arguments: object) -> str:
    """Run a command, or the program with what it reads, in a tree; return what it prints."""
    program = ["-m", "synthcp", *arguments[0]] if isinstance(arguments[0], list) else ["-c", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(tree / "src")}
    ended = subprocess.run([sys.executable, *program], env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{tree}: {ended.stderr}")
    return ended.stdout


def draw(folder: Path, count: int, height: int, width: int, labels: bool = False) -> None:
    """Write drawn streets as JPEG files, with labels as a data set of `folder:`."""
    scenes, others = Scenes(ScenesConfig(count, height, width, split="test")), folder.parent
    folder.mkdir(parents=True)
    if labels:
        (others / "labels").mkdir()
        known = {"names": scenes.classes.names, "colors": scenes.classes.colors}
        (others / "classes.json").write_text(json.dumps(known))
    for scene in scenes:
        image_picture(scene.image).save(folder / f"{scene.id}.jpg", quality=92)
        if labels and scene.label_map is not None:
            Image.fromarray(scene.label_map.numpy().astype(np.uint8)).save(others / "labels" / f"{scene.id}.png")


def compare(
    trees: dict[str, Path], folder: Path, verb: str, warm: list[str], real: list[str], count: int, turns: int
) -> None:
    """Let the trees take turns at a verb; print the medians."""
    old, new = trees
    cases = {old: (trees[old], 0, []), new: (trees[new], 1, []), f"{new}, --batch 8": (trees[new], 1, ["--batch", "8"])}
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in cases}
    spent = dict[str, float]()
    for _ in range(turns):
        for name, (tree, run, more) in cases.items():
            options = ["--monitor", f"{folder}/run{run}", "--device", "cpu", "--quiet", *more]
            out = folder / f"{verb} {name}"
            orders = [[verb, *given, *options, "--out", str(out)] for given in (warm, real)]
            wall, memory, stages = turn(tree, [*orders, STAGES if name == new and verb == "score" else []])
            found[name].append((count / wall, memory, differing(folder / f"{verb} {old}", out)))
            spent |= stages
    print(f"\n{verb} of {count} images, medians of {turns}\n")
    print("| tree | images/s | ratio | peak memory, MB | ratio | maps that differ |\n|---|---|---|---|---|---|")
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    first = medians[old]
    for name, (speed, memory, differ) in medians.items():
        print(
            f"| {name} | {speed:.2f} | {speed / first[0]:.2f} | {memory:.0f} | {memory / first[1]:.2f} | {differ:.0f} |"
        )
    for stage, seconds in spent.items():
        print(f"- {stage}: {1e3 * seconds / count:.1f} ms of the processor per image")


def turn(tree: Path, orders: list[object]) -> tuple[float, float, dict[str, float]]:
    """Seconds, MB and the seconds of each stage of a command that runs the second time in its process."""
    wall, memory, stages = json.loads(call(tree, PROGRAM, json.dumps(orders)).splitlines()[-1])
    return wall, memory, stages


def differing(first: Path, second: Path) -> int:
    """How many maps are not the same in both folders."""
    names = {path.name for folder in (first, second) for path in (folder / "maps").iterdir()}
    return sum(not same(first / "maps" / name, second / "maps" / name) for name in names)


def same(first: Path, second: Path) -> bool:
    """Whether two pictures are there and have the same pixels."""
    if not (first.is_file() and second.is_file()):
        return False
    with Image.open(first) as one, Image.open(second) as other:
        return np.array_equal(np.asarray(one), np.asarray(other))


if __name__ == "__main__":
    main()
