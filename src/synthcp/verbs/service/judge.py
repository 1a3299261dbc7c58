"""The process that judges: it loads the monitor once, and answers what comes through a pipe until that is closed.

What passes through the pipe is JSON and bytes, never a pickle. A model may end this process, fill its memory or hang:
it costs the image in its hands, for `worker.Worker` begins another one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synthcp import __version__
from synthcp.comparison.long_images import is_long
from synthcp.data.decoding import claimed_size
from synthcp.data.finding import Input
from synthcp.data.nifti import Grid, read_grid
from synthcp.errors import DataError, InputError, in_one_line
from synthcp.monitor.in_memory import require_image
from synthcp.monitor.inputs import read_input
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.settings import load_settings
from synthcp.records import Detection, Prediction
from synthcp.report.rows import row_of
from synthcp.segmentation.saved import SavedPredictions
from synthcp.system.pipeline import runs
from synthcp.system.runtime import usable_cores
from synthcp.verbs.facts import identity
from synthcp.verbs.service.answer import Answer, error
from synthcp.verbs.service.assessed import assessed, encoded_maps
from synthcp.verbs.service.limits import MEGAPIXEL, Limits
from synthcp.verbs.service.logs import log, write_logs
from synthcp.verbs.service.order import IMAGE, MAPS, PREDICTION, Asked, Order

LARGE = 2 * MEGAPIXEL
"""Pixels from which an image goes through the networks alone: together they would fill the memory, and gain nothing."""


@dataclass(frozen=True)
class Read:
    """An image (C, *S) as it was read, of a volume the grid of its file, and M's prediction if that came with it."""

    asked: Asked
    image: Tensor
    grid: Grid | None
    prediction: Prediction | None


class Judge:
    """A monitor that answers.

    Args:
        monitor: It judges.
        limits: Of an image.
    """

    def __init__(self, monitor: Monitor, limits: Limits) -> None:
        self._monitor = monitor
        self._limits = limits
        self._fingerprint = identity(monitor)["monitor"]

    def facts(self) -> dict[str, Any]:
        """Tell what judges."""
        settings, calibration = self._monitor.settings, self._monitor.settings.calibration
        return {
            "fingerprint": self._fingerprint,
            "version": __version__,
            "classes": settings.classes.names,
            "channels": settings.channels,
            "spatial_dims": settings.spatial_dims,
            "measure": settings.measure,
            "model": settings.model.spec,
            "takes_predictions": self._monitor.segmenter is None,
            "calibrated": calibration is not None,
            "promise": calibration.in_words() if calibration else {},
        }

    def answers(self, asked: Sequence[Asked]) -> Iterator[Answer]:
        """Answer in the order of what is asked; neighbours of one size go through the networks together."""
        for group in runs(map(self._read, asked), _size, self._limits.batch):
            yield from self._together([each for each in group if isinstance(each, Read)])
            yield from (each for each in group if isinstance(each, Answer))  # which is alone

    def _read(self, asked: Asked) -> Read | Answer:
        """Read an image; whatever is wrong with its file is the client's to mend (422)."""
        settings = self._monitor.settings
        try:
            require_size(asked.path, self._limits, settings.spatial_dims)
            image, grid = read_input(Input(IMAGE, (asked.path,)), settings)
            require_image(image[None], settings)
            return Read(asked, image, grid, self._prediction(asked, image, grid))
        except InputError as problem:
            return _failed(asked, 422, problem)
        except Exception as problem:
            return _failed(asked, 500, problem)

    def _prediction(self, asked: Asked, image: Tensor, grid: Grid | None) -> Prediction | None:
        saved = self._monitor.predictor
        if not isinstance(saved, SavedPredictions):
            return None
        folder = Path(asked.folder) / PREDICTION
        for path in folder.iterdir():
            if path.suffix != ".npz":  # whose header is held against the image
                require_size(path, self._limits, image.dim() - 1)
        own = saved.of_folder(folder)
        if grid is not None:
            own.require_grid(IMAGE, str(asked.path), grid)
        return own.predict(IMAGE, image[None])

    def _together(self, group: Sequence[Read]) -> list[Answer]:
        """Answer images of one size; where that fails, each by itself, so that one costs no other."""
        try:
            return self._assessed(group) if group else []
        except (Exception, SystemExit) as problem:  # a model may raise anything
            if len(group) == 1:
                return [_failed(group[0].asked, 500, problem)]
            return [answer for each in group for answer in self._together([each])]

    def _assessed(self, group: Sequence[Read]) -> list[Answer]:
        images = torch.stack([each.image for each in group])
        prediction, detection = self._monitor.detect(images, IMAGE, group[0].prediction)
        parts = zip(group, prediction.parts(), detection.parts(len(group)), strict=True)
        return [self._answer(*each) for each in parts]

    def _answer(self, read: Read, prediction: Prediction, detection: Detection) -> Answer:
        asked, image, grid, settings = read.asked, read.image, read.grid, self._monitor.settings
        assessment = self._monitor.assessment(prediction, detection, image.shape[1:] if grid is None else grid.size)
        row = row_of(asked.name, asked.name, assessment, settings.classes, settings.thresholds.anomaly, grid=grid)
        folder = Path(asked.folder) / MAPS
        folder.mkdir()
        maps = encoded_maps(asked.maps, folder, image, assessment, settings, grid)
        more = {"monitor": self._fingerprint, "request_id": asked.request} | ({"maps": maps} if maps else {})
        return assessed(row, more)


def _failed(asked: Asked, code: int, problem: BaseException) -> Answer:
    """Say why there is no assessment; of what SynthCP does not raise on purpose the log alone tells more."""
    told = in_one_line(problem).replace(f"{asked.folder}/", "")
    log("error" if code == 500 else "refused", request_id=asked.request, code=code, problem=told)
    if not isinstance(problem, InputError):
        told = f"M, G or F failed with {type(problem).__name__}; the log of the service says more"
    return error(code, told, id=asked.name, request_id=asked.request)


def require_size(path: Path, limits: Limits, spatial_dims: int) -> None:
    """Judge the size that the header of a file claims, before its pixels are decoded; raises DataError."""
    size: Sequence[int] = read_grid(path).size if spatial_dims == 3 else claimed_size(path)
    came = f"{path} is {'x'.join(map(str, size))}"
    if math.prod(size) > limits.megapixels * MEGAPIXEL:
        parts = "voxels" if spatial_dims == 3 else "pixels"
        raise DataError(f"{came}; this service takes up to {limits.megapixels} million {parts}; make it smaller")
    if spatial_dims == 2 and max(size) > limits.aspect * min(size):
        raise DataError(f"{came}; this service takes up to {limits.aspect} times as long as wide; cut it")


def _size(read: Read | Answer) -> tuple[int, ...] | None:
    """Of an image that may go with others; None of one that goes alone."""
    if isinstance(read, Answer) or read.prediction is not None:
        return None
    size = tuple(read.image.shape)
    return None if is_long(size[1:]) or read.image[0].numel() > LARGE else size


def work(pipe: Connection, order: Order) -> None:
    """Load the monitor, tell its facts or why there are none, and answer until the pipe is closed."""
    write_logs()
    with suppress(EOFError, OSError):  # nobody asks any more
        judge = _loaded(pipe, order)
        while judge:
            asked = [Asked(**each) for each in json.loads(pipe.recv_bytes())]
            for answer in judge.answers(asked):
                pipe.send_bytes(answer.to_bytes())


def _loaded(pipe: Connection, order: Order) -> Judge | None:
    torch.set_num_threads(order.threads or max(1, usable_cores() // order.workers))
    model, trusted = order.model, order.trust_code
    try:
        monitor = Monitor.load(order.monitor, order.device, order.precision, model, trust_code=trusted)
        judge = Judge(monitor, order.limits)
        _tell_undecided(order.monitor, monitor)
    except BaseException as problem:  # the models that people bring may raise anything
        pipe.send_bytes(json.dumps({"error": in_one_line(problem)}).encode())
        return None
    pipe.send_bytes(json.dumps(judge.facts()).encode())
    return judge


def _tell_undecided(folder: Path, monitor: Monitor) -> None:
    """Say why nothing is decided, when the calibration of a monitor is about another M."""
    stored = load_settings(folder).calibration
    if stored is not None and monitor.settings.calibration is None:
        told = f"the calibration is about {stored.model}, not about this M, so nothing is decided"
        log("warned", problem=f"{told}; calibrate with the same --model")
