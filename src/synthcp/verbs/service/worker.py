"""A process that judges, and the thread beside the requests that hands it images and begins another when it dies."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from threading import Thread
from typing import Any

from synthcp.errors import InputError, in_one_line
from synthcp.verbs.service.answer import Answer, error
from synthcp.verbs.service.logs import log
from synthcp.verbs.service.metrics import Metrics
from synthcp.verbs.service.order import Order
from synthcp.verbs.service.queue import Job, JobQueue

_SPAWN = get_context("spawn")
_LOOK, _LONGEST_PAUSE = 0.5, 10.0
"""Seconds after which an idle worker is looked at, and between tries to begin one."""
_LOAD, _LEAVE = 600.0, 10.0
"""Seconds that one has to begin, and to end."""


class Worker:
    """A process with a monitor, and its thread.

    Args:
        order: What it judges with.
        queue: Where its jobs come from.
        metrics: What it counts in.

    Attributes:
        ready: Whether a process is there that can judge.
        facts: What the process told of its monitor.
    """

    def __init__(self, order: Order, queue: JobQueue, metrics: Metrics) -> None:
        self.ready = False
        self.facts: dict[str, Any] = {}
        self._order = order
        self._queue = queue
        self._metrics = metrics
        self._process: SpawnProcess
        self._pipe: Connection
        self._thread = Thread(target=self._run, name="synthcp-worker", daemon=True)

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    def start(self) -> None:
        """Begin the process, and wait until it has loaded the monitor.

        Raises:
            InputError: It cannot be loaded.
        """
        self._begin()
        self._thread.start()

    def stop(self) -> None:
        """End, once the queue is closed and what waits there is judged."""
        if self._thread.ident:
            self._thread.join()
        self._pipe.close()
        self._process.join(_LEAVE)
        self._end()

    def _begin(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_judging, args=(theirs, self._order), daemon=True)
        with _signals_held():
            self._process.start()
        theirs.close()
        told = self._loaded()
        if "error" in told:
            self._end()
            raise InputError(told["error"])
        self.facts, self.ready = told, True

    def _loaded(self) -> dict[str, Any]:
        """What a new process tells of its monitor, or under "error" why it has none."""
        try:
            if not self._pipe.poll(_LOAD):
                return {"error": f"a worker has not loaded the monitor in {_LOAD:.0f} s; look at its model"}
            told: dict[str, Any] = json.loads(self._pipe.recv_bytes())
            return told
        except (EOFError, OSError):
            self._process.join(_LEAVE)
            died = f"a worker died (exit code {self._process.exitcode}) as it loaded the monitor"
            return {"error": f"{died}; is there memory for one more of them? give fewer --workers"}

    def _end(self) -> None:
        self.ready = False
        self._process.kill()
        self._process.join()

    def _renew(self) -> None:
        """Begin another process; where that fails, again and again, until somebody mends what is wrong."""
        self._metrics.restarts.inc()
        log("error", problem=f"worker {self.pid} died or hung (exit code {self._process.exitcode}); another one begins")
        pause = 1.0
        while not (self.ready or self._queue.closed):
            try:
                self._begin()
            except Exception as problem:
                log("error", problem=f"no worker can begin: {problem}", next_try_in_seconds=pause)
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _run(self) -> None:
        while not (self._queue.closed and not len(self._queue)):
            jobs = self._queue.take(self._order.limits.batch, _LOOK)
            if not self._process.is_alive():
                self._end()
                self._renew()
            if jobs:
                begun = time.monotonic()
                self._metrics.together.observe(len(jobs))
                self._judge(jobs)
                self._queue.pace(begun, len(jobs), self._order.workers)

    def _judge(self, jobs: Sequence[Job]) -> None:
        """See to it that every job has an answer; the one that a process died of gets an error."""
        try:
            self._exchange(jobs)
        except Exception as problem:  # EOFError or OSError of a dead process, TimeoutError of one that hangs
            log("error", problem=f"a worker gave no answer ({in_one_line(problem)})")
            self._end()
            left = [job for job in jobs if not job.answer.done()]
            again = [job for job in left if len(jobs) > 1 and time.monotonic() < job.until]
            for job in left:
                if job not in again:
                    self._give(job, _lost(job))
            self._renew()
            for job in again:
                self._judge([job])

    def _exchange(self, jobs: Sequence[Job]) -> None:
        """Hand jobs over and give their answers; raises whatever a process that dies or hangs brings about."""
        self._pipe.send_bytes(json.dumps([vars(job.asked) for job in jobs]).encode())
        for job in jobs:
            if not self._pipe.poll(self._order.limits.seconds):
                raise TimeoutError
            self._give(job, Answer.from_bytes(self._pipe.recv_bytes()))

    def _give(self, job: Job, answer: Answer) -> None:
        self._metrics.images.labels(answer.code, answer.decision or "none").inc()
        job.answer.set_result(answer)


def _lost(job: Job) -> Answer:
    told = "the process that judged the image died or hung; if it does so again, look at this image and at the model"
    return error(500, told, id=job.asked.name, request_id=job.asked.request)


def _judging(pipe: Connection, order: Order) -> None:
    """What the process does; it alone needs torch."""
    from synthcp.verbs.service.judge import work

    work(pipe, order)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let a process that begins here be deaf to what ends the service: it judges what waits first."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
