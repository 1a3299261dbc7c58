"""Load on `synthcp serve` from another process over the loopback address, then kills of its workers, then SIGTERM.

The monitor is untrained, which works as a trained one does: scale `tiny`, nine classes, streets of 48 x 64 and 96 x 96.

1. Closed loop, a sixth of the time: as many clients as the service has places for a batch, each of which asks again
   when it has its answer. What it judges a second is the capacity.
2. Open loop, the rest of the time: requests begin at twice the capacity, whatever becomes of those before.
3. Ten workers are killed (SIGKILL), each a second after the service is ready, under a load of half the capacity.
4. SIGTERM under the same load.

What is checked: under load the only codes are 200, 429 and 504; the memory of all processes of the service never
exceeds by more than 5 % what it was at most in the first minute of the open loop (or in the first fifth of a shorter
one); kills bring no other code than 500 besides; and every request that the log calls accepted has an answer, also
after SIGTERM.

Run: OMP_NUM_THREADS=1 python benchmarks/service.py [--seconds 600] [--workers 1]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from threading import Thread, Timer

import numpy as np
from soak import untrained

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.report.pictures import image_picture

SIZES = ((48, 64), (96, 96))
CLIENTS, THREADS = 16, 256
GROWTH = 0.05
KILLS, PAUSE = 10, 1.0
FINE = {200, 429, 504}


@dataclass
class Load:
    """Requests to a service.

    Attributes:
        port: Where it listens.
        images: PNG files, sent in turn.
        answers: Of each request, by its id: code and seconds; 0 is a connection that was refused or closed.
        numbers: Of the requests.
        capacity: Images that the service judges a second.
    """

    port: int
    images: list[bytes]
    answers: dict[str, tuple[int, float]] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)
    capacity: float = 0.0

    def ask(self) -> None:
        """Send one image, and note what came of it."""
        number, begun, code = next(self.numbers), time.monotonic(), 0
        name, headers = f"request-{number}", {"Content-Type": "image/png", "X-Request-ID": f"request-{number}"}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        with suppress(OSError, HTTPException), closing(connection):
            connection.request("POST", "/v1/assess", self.images[number % len(self.images)], headers)
            response = connection.getresponse()
            response.read()
            code = response.status
        self.answers[name] = code, time.monotonic() - begun

    def closed(self, seconds: float) -> float:
        """Ask again when an answer is there; return how many images were judged a second."""
        before, until = len(self.judged), time.monotonic() + seconds

        def again() -> None:
            while time.monotonic() < until:
                self.ask()

        threads = [Thread(target=again) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (len(self.judged) - before) / seconds

    def open(self, rate: float, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Begin so many requests a second, whatever becomes of them."""
        begun = time.monotonic()
        with ThreadPoolExecutor(THREADS) as pool:
            for number in count():
                due = begun + number / rate
                if due > begun + seconds or until():
                    return
                time.sleep(max(0.0, due - time.monotonic()))
                pool.submit(self.ask)

    @property
    def judged(self) -> list[float]:
        """Seconds of those that were accepted and judged."""
        return [seconds for code, seconds in list(self.answers.values()) if code == 200]

    def codes(self, since: int = 0) -> Counter[int]:
        """How many answers there were of each code, from a request on."""
        return Counter(code for code, _ in list(self.answers.values())[since:])


def workers_of(process: int) -> list[int]:
    """The processes that judge."""
    of_threads = Path(f"/proc/{process}/task").glob("*/children")
    children = [pid for children in of_threads for pid in children.read_text().split()]
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def resident(process: int) -> float:
    """Memory of a service in RAM, in MB, all its processes together."""
    pages = 0
    for pid in (process, *workers_of(process)):
        pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def watch(process: int, seen: list[float], until: Callable[[], bool]) -> None:
    """Note the memory of a service every half second."""
    while not until():
        seen.append(resident(process))
        time.sleep(0.5)


def kill_workers(process: int, port: int, kills: list[int]) -> None:
    """Kill one after another, each when all are ready."""
    while len(kills) < KILLS:
        time.sleep(PAUSE)
        for pid in workers_of(process)[-1:] if is_ready(port) else []:
            os.kill(pid, signal.SIGKILL)
            kills.append(pid)


def is_ready(port: int) -> bool:
    """Whether the service could judge an image."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200


def streets() -> list[bytes]:
    """PNG files of streets of each size."""
    files = []
    for size in SIZES:
        for sample in Scenes(ScenesConfig(4, *size, split="test")):
            content = io.BytesIO()
            image_picture(sample.image).save(content, "PNG")
            files.append(content.getvalue())
    return files


def begin(folder: Path, workers: int) -> tuple[subprocess.Popen[str], int]:
    """A service of an untrained monitor, and its port."""
    untrained().save(folder / "run")
    options = {"--monitor": folder / "run", "--port": 0, "--device": "cpu", "--workers": workers, "--threads": 1}
    with (folder / "log").open("w") as log:
        program = [sys.executable, "-m", "synthcp", "serve", *(str(part) for pair in options.items() for part in pair)]
        process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline().rpartition(":")[2])


def lost(log: Path, load: Load) -> list[str]:
    """Requests that the service accepted and that have no answer."""
    events = [json.loads(line) for line in log.read_text().splitlines()]
    accepted = [each["request_id"] for each in events if each["event"] == "accepted"]
    return [name for name in accepted if not load.answers.get(name, (0, 0))[0]]


def report(name: str, codes: Counter[int]) -> None:
    print(f"{name}: " + ", ".join(f"{number} x {code}" for code, number in sorted(codes.items())))


def loaded(load: Load, process: int, seconds: float) -> list[str]:
    """Load a service, print what came of it, and return what should not have been."""
    load.closed(2.0)  # warm
    capacity = load.capacity = load.closed(seconds / 6)
    report(f"closed loop, {CLIENTS} clients, {capacity:.1f} images/s", load.codes())
    since, judged, seen, over = len(load.answers), len(load.judged), list[float](), list[bool]()
    Thread(target=watch, args=(process, seen, lambda: bool(over))).start()
    load.open(2 * capacity, seconds * 5 / 6)
    over.append(True)
    report(f"open loop, {2 * capacity:.1f} requests/s", load.codes(since))
    p50, p99 = (1000 * np.percentile(load.judged[judged:], share) for share in (50, 99))
    print(f"of the accepted: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    first = max(seen[: min(120, 1 + len(seen) // 5)])
    more = max(seen) / first - 1
    print(f"memory: {first:.0f} MB at first, {max(seen):.0f} MB at most ({100 * more:+.1f} %)")
    grown = [f"memory grew by {100 * more:.1f} %"] if more > GROWTH else []
    return [f"code {code} under load" for code in load.codes().keys() - FINE] + grown


def killed(load: Load, process: int) -> list[str]:
    """Kill workers under load; returns as `loaded`."""
    since, kills = len(load.answers), list[int]()
    Thread(target=kill_workers, args=(process, load.port, kills)).start()
    load.open(load.capacity / 2, 600, until=lambda: len(kills) == KILLS)
    report(f"{len(kills)} kills", load.codes(since))
    return [f"code {code} under kills" for code in load.codes(since).keys() - FINE - {500}]


def ended(load: Load, process: subprocess.Popen[str], log: Path) -> list[str]:
    """End a service under load; returns as `loaded`."""
    since = len(load.answers)
    Timer(2, process.terminate).start()
    load.open(load.capacity / 2, 60, until=lambda: process.poll() is not None)
    report("SIGTERM", load.codes(since))
    gone = lost(log, load)
    print(f"accepted requests without an answer: {len(gone)}")
    exits = [f"exit code {process.returncode}"] if process.wait(60) else []
    return [f"{name} was accepted and has no answer" for name in gone[:3]] + exits


def main() -> None:
    """Load, kill, end, and fail where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="under load")
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, port = begin(Path(folder), asked.workers)
        load = Load(port, streets())
        try:
            problems = loaded(load, process.pid, asked.seconds) + killed(load, process.pid)
            problems += ended(load, process, Path(folder) / "log")
        finally:
            process.kill()
    if problems:
        sys.exit("; ".join(problems))


if __name__ == "__main__":
    main()
