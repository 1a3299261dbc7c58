"""The service without HTTP: workers, their queue, and the way of a request through both."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from fastapi import Request

from synthcp.verbs.service.answer import Answer, error
from synthcp.verbs.service.limits import IMAGES, VOLUMES, Refused
from synthcp.verbs.service.logs import log
from synthcp.verbs.service.metrics import Metrics
from synthcp.verbs.service.order import Asked, MapKind, Order
from synthcp.verbs.service.queue import Job, JobQueue
from synthcp.verbs.service.uploads import Uploading
from synthcp.verbs.service.worker import Worker


class Service:
    """A monitor that is asked.

    Args:
        order: What the workers judge with.

    Attributes:
        limits: Of a request.
        queue: What waits.
        workers: Who judges.
        metrics: What is counted.
    """

    def __init__(self, order: Order) -> None:
        self.limits = order.limits
        self.queue = JobQueue(order.limits.queue)
        self.metrics = Metrics()
        self.workers = [Worker(order, self.queue, self.metrics) for _ in range(order.workers)]
        self._uploads = TemporaryDirectory(prefix="synthcp-serve-")
        self.metrics.watch("synthcp_waiting_images", "That no worker has taken yet.", lambda: len(self.queue))
        self.metrics.watch("synthcp_held_places", "Images that are under way.", lambda: self.queue.held)
        self.metrics.watch("synthcp_ready_workers", "Workers that can judge.", lambda: len(self._ready))

    @property
    def ready(self) -> bool:
        """Whether an image would be judged."""
        return bool(self._ready) and not self.queue.closed

    @property
    def facts(self) -> dict[str, Any]:
        """What the workers told of their monitor."""
        return self.workers[0].facts

    @property
    def _has_volumes(self) -> bool:
        return bool(self.facts["spatial_dims"] == 3)

    @property
    def _ready(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.ready]

    def __enter__(self) -> Service:
        """Begin the workers, one after another; raises InputError where the monitor cannot be loaded."""
        try:
            for worker in self.workers:
                worker.start()
        except BaseException as problem:
            self.__exit__()
            if isinstance(problem, KeyboardInterrupt):
                problem.add_note("the service had not begun; give the command again")
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self.queue.close()
        for worker in self.workers:
            worker.stop()
        self._uploads.cleanup()

    async def answers(self, request: Request, maps: MapKind, most: int) -> list[Answer]:
        """Judge the images of a request, up to so many.

        Raises:
            Refused: The request is not as it must be, or there is no place for its images.
        """
        if maps == "nifti" and not self._has_volumes:
            raise Refused(422, "maps=nifti is of volumes, but the monitor was fitted on flat images; choose png or npz")
        uploads = await self._received(request, maps, most)
        jobs = [_job(asked, request.state.until) for asked in uploads]
        log("accepted", request_id=request.state.request_id, images=len(jobs))
        for job in jobs:
            self.queue.put(job)
        return await asyncio.gather(*map(_answered, jobs))

    async def _received(self, request: Request, maps: MapKind, most: int) -> Sequence[Asked]:
        """The images of a request, with a place for each."""
        with ExitStack() as undo:
            self.queue.reserve()
            undo.callback(self.queue.release)
            types, predictions = VOLUMES if self._has_volumes else IMAGES, self.facts["takes_predictions"]
            uploads = await Uploading(request, maps, types, predictions, lambda: self._new_folder(undo)).receive(most)
            self.queue.reserve(len(uploads) - 1)
            undo.pop_all()
        return uploads

    def _new_folder(self, undo: ExitStack) -> Path:
        folder = Path(mkdtemp(dir=self._uploads.name))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder


def _job(asked: Asked, until: float) -> Job:
    """A job whose files go when it is done."""
    job = Job(asked, until)
    job.answer.add_done_callback(lambda _: shutil.rmtree(asked.folder, ignore_errors=True))
    return job


async def _answered(job: Job) -> Answer:
    """The answer of a worker, if it comes in time; a job that waits still is then withdrawn."""
    with suppress(TimeoutError):
        return await asyncio.wait_for(asyncio.wrap_future(job.answer), max(0.0, job.until - time.monotonic()))
    told = "there was no answer in time; ask again when the service is less busy, or send a smaller image"
    return error(504, told, id=job.asked.name, request_id=job.asked.request)
