"""Try every hostile case, each in a process of its own, and say which are faults.

A fault: an internal error, another exit code than is documented for the case, a traceback, more than one line on
stderr (beside notes), a control character on the terminal, over 10 s of the processor, or a good input that lost its
result or has another one.

Run: python tests/hostile/attack.py [--short] [--only TEXT]
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from cases import CASES, Case
from world import World

import synthcp.doctor.examine
import synthcp.fitting.run
import synthcp.verbs.audit.run
import synthcp.verbs.calibrate
import synthcp.verbs.evaluate
import synthcp.verbs.score  # noqa: F401  imported once, before the forks
from synthcp.cli import main
from synthcp.report.rows import read_rows

PATIENCE, MEMORY = 90.0, 8 << 30


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal), its streams, seconds of the processor."""

    code: int
    stdout: str
    stderr: str
    seconds: float


def attack(cases: list[Case], root: Path) -> list[str]:
    """Try the cases, and return one line for each fault."""
    good = _built(root / "good")
    faults = []
    for number, case in enumerate(cases):
        world = good.copy(root / f"case{number}")
        with _restored():
            found = list(_faults(case, world, good))
        faults += [f"{case.name}: {fault}" for fault in found]
        print(f"{'FAULT' if found else 'ok':6}{case.name}: {'; '.join(found)}", flush=True)
    return faults


def _built(root: Path) -> World:
    """The good world, built in a process of its own: threads that this one had would be missing in its forks."""
    child = os.fork()
    if child == 0:
        World.build(root)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit("the good world cannot be built")
    return World(root)


@contextmanager
def _restored() -> Iterator[None]:
    place = Path.cwd()
    yield
    os.chdir(place)


def _faults(case: Case, world: World, good: World) -> Iterator[str]:
    ended = _run(list(map(str, case.prepare(world))), world.root)
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("note: ")]
    told = lines[0][:300] if lines else ""
    if ended.code not in case.codes:
        yield f"exit code {ended.code} in place of {' or '.join(map(str, case.codes))}: {told!r}"
    if "Traceback" in ended.stderr + ended.stdout or "internal error" in ended.stderr:
        yield f"an internal error: {told!r}"
    if len(lines) > 1:
        yield f"{len(lines)} lines on stderr: {lines[1][:200]!r}"
    if any(not letter.isprintable() and letter != "\n" for letter in ended.stdout + ended.stderr):
        yield "a control character on the terminal"
    if ended.seconds > case.seconds:
        yield f"{ended.seconds:.0f} s of the processor"
    if case.verb == "score" and ended.code in (0, 3, 4):
        yield from _lost(case, world, good)


def _lost(case: Case, world: World, good: World) -> Iterator[str]:
    """Good inputs without a result, or with another one than they have without the bad ones."""
    rows = {Path(row.source).name: row for row in read_rows(world.out)}
    for path in sorted(path for path in good.images.iterdir() if path.name not in case.lost):
        row = rows.get(path.name)
        if case.volumes or case.other_results:
            continue
        if row is None or row.status != "ok":
            yield f"{path.name} lost its result"
        elif _map(world.out, row.id) != _map(good.scored, path.stem):
            yield f"{path.name} has another result"


def _map(out: Path, image_id: str) -> bytes:
    return (out / "maps" / f"{image_id}_error_16bit.png").read_bytes()


def _run(arguments: list[str], root: Path) -> Ended:
    """Run a command line in a forked process, with its streams in files and nothing to read."""
    streams = [root / "stdout", root / "stderr"]
    child = os.fork()
    if child == 0:
        _become(arguments, streams)
    return _awaited(child, streams)


def _become(arguments: list[str], streams: list[Path]) -> None:
    """Never returns."""
    code = 70
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, path in enumerate(streams, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", errors="backslashreplace") for number in (1, 2))
        sys.argv = ["synthcp", *arguments]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _awaited(child: int, streams: list[Path]) -> Ended:
    end = time.monotonic() + PATIENCE
    while True:
        known, status, usage = os.wait4(child, os.WNOHANG)
        if known:
            break
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.01)
    texts = [path.read_text(errors="backslashreplace") if path.exists() else "" for path in streams]
    return Ended(os.waitstatus_to_exitcode(status), *texts, usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a selection, in seconds")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    asked = parser.parse_args()
    chosen = [case for case in CASES if asked.only in case.name and (case.short or not asked.short)]
    folder = tempfile.mkdtemp()
    try:
        faults = attack(chosen, Path(folder))
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)  # shutil cannot remove a thousand folders deep
    print("\n".join(faults))
    print(f"tried {len(chosen)}, faults {len(faults)}")
    sys.exit(bool(faults))
