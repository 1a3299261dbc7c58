"""All checks in their order; each group of findings comes as soon as it is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from synthcp.config.scales import SCALES
from synthcp.config.values import choose
from synthcp.data.base import Dataset
from synthcp.data.specs import open_dataset
from synthcp.doctor.cost import check_cost
from synthcp.doctor.data import check_data
from synthcp.doctor.findings import Finding, attempt, trouble
from synthcp.doctor.libraries import check_libraries
from synthcp.doctor.machine import check_machine
from synthcp.doctor.model import check_model
from synthcp.doctor.monitor import check_monitor
from synthcp.doctor.trial import Wish
from synthcp.errors import InputError, SynthCPError
from synthcp.segmentation.catalogue import BUILT_IN, SEGMENTERS
from synthcp.system.runtime import choose_runtime

LOOKED_AT = 200
"""Images of a data set that are looked at, unless all are asked for."""


@dataclass(frozen=True)
class Request:
    """What to look at, beside libraries and machine.

    Attributes:
        data: SPEC of a data set.
        every_image: Whether all of its images are read.
        model: SPEC of a model, tried on the data.
        features: Name of the module whose input is f_M; found by itself when empty.
        monitor: Folder of a monitor.
        fit: Whether a fit on the data is tried.
        scale: Of the fit.
        out: Folder that would be written.
        device: "auto", "cpu", "cuda", ...

    Raises:
        InputError: The scale is unknown, or a model or a fit is to be tried without data.
    """

    data: str = ""
    every_image: bool = False
    model: str = BUILT_IN
    features: str = ""
    monitor: Path | None = None
    fit: bool = False
    scale: str = "small"
    out: Path = Path("runs")
    device: str = "auto"

    def __post_init__(self) -> None:
        choose(SCALES, self.scale, "scale")
        if not self.data and (self.fit or self.model not in SEGMENTERS):
            raise InputError("a model and a fit are tried on images, and none are given; add --data SPEC")


def examine(request: Request) -> Iterator[tuple[str, list[Finding]]]:
    """Give titles and findings, group by group."""
    yield "Libraries", attempt("libraries", check_libraries)
    yield "Machine", check_machine(request.out)
    if request.data:
        yield from _examine_data(request)
    if request.monitor is not None:
        monitor = request.monitor
        yield f"Monitor {monitor}", attempt("monitor", lambda: check_monitor(monitor, request.device))


def _examine_data(request: Request) -> Iterator[tuple[str, list[Finding]]]:
    """The data, and what can be tried on it only."""
    try:
        dataset = open_dataset(request.data)
    except (SynthCPError, OSError) as error:
        yield f"Data {request.data}", [trouble("data", error)]
        return
    scale, limit = SCALES[request.scale], None if request.every_image else LOOKED_AT
    yield f"Data {request.data}", attempt("data", lambda: check_data(request.data, dataset, scale, limit))
    if request.model not in SEGMENTERS:
        yield f"Model {request.model}", attempt("model", lambda: _model(request, dataset))
    if request.fit:
        yield f"Fit of scale {request.scale}", attempt("fit", lambda: _fit(request, dataset))


def _model(request: Request, dataset: Dataset) -> list[Finding]:
    return check_model(request.model, dataset, choose_runtime(request.device, "fp32"), request.features)


def _fit(request: Request, dataset: Dataset) -> list[Finding]:
    threads = torch.get_num_threads()
    wish = Wish(request.data, request.scale, request.model, request.features, request.device, threads)
    return check_cost(wish, dataset, request.out)
