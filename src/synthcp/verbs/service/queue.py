"""The images that wait for a worker: first come, first served, and never more than there are places."""

from __future__ import annotations

import math
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition

from synthcp.verbs.service.answer import Answer
from synthcp.verbs.service.limits import Refused
from synthcp.verbs.service.order import Asked

_NEW = 0.2
"""Weight of the last time in the mean by which a wait is guessed."""


@dataclass(frozen=True, eq=False)
class Job:
    """An image to be judged.

    Attributes:
        asked: What it is.
        until: When nobody waits for the answer any more, on the monotonic clock.
        answer: Given by the worker.
    """

    asked: Asked
    until: float
    answer: Future[Answer] = field(default_factory=Future)


class JobQueue:
    """A bounded queue of jobs between the requests and the workers.

    A place is reserved before the body of a request is read and is free again when its answer is there, so that memory
    and disk are bounded, too.

    Attributes:
        places: How many there are.
        held: How many are reserved.
        closed: Whether no more are given.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.held = 0
        self.closed = False
        self._seconds = 0.1  # for one image
        self._waiting = deque[Job]()
        self._changed = Condition()

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def reserve(self, count: int = 1) -> None:
        """Take places.

        Raises:
            Refused: There are not so many (429, with the time until some will be free), or no more are given (503).
        """
        with self._changed:
            if self.closed:
                raise Refused(503, "the service ends; ask another one", {"Retry-After": "5"})
            if self.held + count > self.places:
                told = f"all of the {self.places} places for images are taken; ask again later, as Retry-After says"
                raise Refused(429, told, {"Retry-After": str(max(1, math.ceil(self.held * self._seconds)))})
            self.held += count

    def release(self, count: int = 1) -> None:
        """Give places back."""
        with self._changed:
            self.held -= count

    def put(self, job: Job) -> None:
        """Let a job wait, for which a place is reserved."""
        job.answer.add_done_callback(lambda _: self.release())
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def take(self, most: int, wait: float) -> list[Job]:
        """Take the oldest jobs for which somebody still waits; none, if none comes for so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.closed, wait)
            taken = list[Job]()
            while self._waiting and len(taken) < most:
                job = self._waiting.popleft()
                if job.answer.set_running_or_notify_cancel():
                    taken.append(job)
            return taken

    def pace(self, begun: float, count: int, workers: int) -> None:
        """Learn how long an image takes, from those that a worker began to judge at a time."""
        took = (time.monotonic() - begun) / (count * workers)
        self._seconds += _NEW * (took - self._seconds)

    def close(self) -> None:
        """Give no more places; what waits is judged."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
