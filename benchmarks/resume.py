"""The kill test: a fit that is killed at any moment and resumed ends with the bits of one that was left alone.

Run: python benchmarks/resume.py [--kills 3] [--seed 0]

Every kill has a fit of its own, killed (SIGKILL) at a random moment of one stage and resumed until it is finished. The
fits save a checkpoint after every step, so that most moments fall between two of them or into the writing of one.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthcp.system.files import load_json, load_tensors

PROGRAM = """
from synthcp.cli import main
from synthcp.training import loop

loop.CHECKPOINT_SECONDS = 0.0
main()
"""
FIT = "fit --data scenes:?count=24&size=48x64 --scale tiny --threads 1 --device cpu --precision fp32 --quiet".split()


def main() -> None:
    """Kill and compare, one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=3, help="in each stage")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        reference, run = Path(folder, "reference"), Path(folder, "run")
        durations = watch(reference)
        print(f"uninterrupted: {sum(durations.values()):.0f} s in {len(durations)} stages", flush=True)
        plan = [stage for stage in durations for _ in range(arguments.kills)]
        equal = 0
        for stage in plan:
            place = kill(stage, durations[stage], moments, run)
            finish(start(run, "--resume"))
            wrong = differences(reference, run)
            equal += not wrong
            print(f"{stage:11} killed {place} {', '.join(wrong) or 'equal'}", flush=True)
        print(f"{len(plan)} kills, {equal} equal")
    sys.exit(equal < len(plan))


def start(out: Path, *options: str) -> subprocess.Popen[bytes]:
    """Begin or resume a fit."""
    command = [sys.executable, "-c", PROGRAM, *FIT, "--out", str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a fit."""
    if process.wait() != 0:
        sys.exit(f"a fit ended with exit code {process.returncode}")


def logged(out: Path) -> list[tuple[str, int]]:
    """Return the (stage, step) of every line of metrics.jsonl so far."""
    path = out / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(line["stage"], line["step"]) for line in lines]


def watch(out: Path) -> dict[str, float]:
    """Fit without a kill and return the seconds from the first step of every stage to that of the next."""
    process, begun = start(out), dict[str, float]()
    while process.poll() is None:
        for stage, _ in logged(out):
            begun.setdefault(stage, time.monotonic())
        time.sleep(0.01)
    finish(process)
    ends = [*begun.values(), time.monotonic()][1:]
    return {stage: end - start for (stage, start), end in zip(begun.items(), ends, strict=True)}


def kill(stage: str, seconds: float, moments: random.Random, out: Path) -> str:
    """Fit into an empty folder, kill the process within a stage, and return where that was."""
    last, step = "", 0
    while last != stage:  # again, if the moment came too late
        shutil.rmtree(out, ignore_errors=True)
        process = start(out)
        while process.poll() is None and stage not in dict(logged(out)):
            time.sleep(0.01)
        time.sleep(moments.uniform(0, seconds))
        process.kill()
        last, step = logged(out)[-1] if process.wait() == -signal.SIGKILL else ("", 0)
    return f"after step {step:2}, {len(list(out.rglob('.*.tmp')))} files half written:"


def differences(reference: Path, run: Path) -> list[str]:
    """Name the weights that differ in a bit, and the fitted settings that differ."""
    names = {path.relative_to(folder) for folder in (reference, run) for path in folder.rglob("*.safetensors")}
    wrong = [str(name) for name in sorted(names) if bits(reference / name) != bits(run / name)]
    first, second = (load_json(folder / "monitor.json") for folder in (reference, run))
    return wrong + ["learnt"] * (first["learnt"] != second["learnt"])


def bits(path: Path) -> dict[str, bytes] | None:
    """Return every tensor of a file as bytes; None if there is no file."""
    if not path.exists():
        return None
    return {key: tensor.numpy().tobytes() for key, tensor in load_tensors(path)[0].items()}


if __name__ == "__main__":
    main()
